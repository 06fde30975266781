//! Random queries, compared with PostgreSQL 15 by every road. `FRESHET_TEST_COMPARISONS` says how many comparisons are made,
//! `FRESHET_TEST_FAILURES` after how many worlds that differ to stop, `FRESHET_TEST_WORKERS` how many worlds are under way at once;
//! `FRESHET_TEST_IN_PROCESS=1` leaves the server out, which is many times as fast.

use oracle_test::{Campaign, Road};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_road_gives_the_answers_of_postgres() -> anyhow::Result<()> {
    let campaign = Campaign {
        seed: system_test::seed(),
        comparisons: system_test::setting("FRESHET_TEST_COMPARISONS", 2_000),
        roads: match system_test::setting("FRESHET_TEST_IN_PROCESS", 0) {
            0 => Road::ALL.to_vec(),
            _ => vec![Road::Interpreter, Road::Optimizer],
        },
        failures: system_test::setting("FRESHET_TEST_FAILURES", 1),
        workers: system_test::setting("FRESHET_TEST_WORKERS", 1),
    };
    let report = campaign.run().await?;
    eprintln!("{report}");
    assert!(report.failures.is_empty(), "{} worlds differ; the scripts stand above", report.failures.len());
    assert_eq!(report.log_lines, Vec::<String>::new());
    Ok(())
}
