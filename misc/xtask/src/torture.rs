//! `cargo xtask torture`: the long runs of the tests that `misc/test` runs in small (`persist`, `crash`, `oracle`).

use std::path::Path;

use anyhow::{Context, Result, bail};

/// One kind of torture.
struct Torture {
    name: &'static str,
    about: &'static str,
    /// The test target, and which of its tests.
    test: &'static str,
    filter: Option<&'static str>,
    /// What sets its size, and how large it is if nobody says.
    size: Option<(&'static str, &'static str)>,
    /// Runs on the built programs, not on the crate alone.
    programs: bool,
}

const TORTURES: &[Torture] = &[
    Torture {
        name: "simulation",
        about: "leaders against the naive model; --rounds is the number of seeds",
        test: "model_simulation",
        filter: Some("every_answer"),
        size: Some(("FRESHET_TEST_SEEDS", "100000")),
        programs: false,
    },
    Torture {
        name: "flips",
        about: "one flipped bit in a stopped data directory each",
        test: "bit_flips",
        filter: None,
        size: Some(("FRESHET_TEST_FLIPS", "1000")),
        programs: false,
    },
    Torture {
        name: "mutations",
        about: "mutated entries, checkpoints, parts and frames",
        test: "mutations",
        filter: None,
        size: Some(("FRESHET_TEST_MUTATIONS", "5000000")),
        programs: false,
    },
    Torture {
        name: "kills",
        about: "kill -9 of environmentd, clusterd or both, under load",
        test: "crash",
        filter: None,
        size: Some(("FRESHET_TEST_KILLS", "200")),
        programs: true,
    },
    Torture {
        name: "cuts",
        about: "power cuts under load on a loop-mounted disk (root)",
        test: "power_cuts",
        filter: None,
        size: Some(("FRESHET_TEST_CUTS", "100")),
        programs: true,
    },
    Torture {
        name: "sqlsmith",
        about: "queries made up by sqlsmith (a package of Debian); --rounds is their number",
        test: "sqlsmith",
        filter: None,
        size: Some(("FRESHET_TEST_QUERIES", "20000")),
        programs: true,
    },
    Torture {
        name: "faults",
        about: "failed syncs, full and slow disks (root, strace)",
        test: "disk_faults",
        filter: None,
        size: None,
        programs: true,
    },
    Torture {
        name: "oracle",
        about: "random queries beside PostgreSQL 15; --rounds is the number of comparisons",
        test: "oracle",
        filter: None,
        size: Some(("FRESHET_TEST_COMPARISONS", "100000")),
        programs: true,
    },
];

/// What is checked after every operation in development is checked in a release build, too.
const ASSERTIONS: &str = "profile.release.package.persist.debug-assertions=true";

/// What `cargo xtask torture` without arguments prints.
pub(crate) fn usage() -> String {
    let line = |torture: &Torture| {
        let default = torture.size.map_or_else(String::new, |(_, default)| format!(" [--rounds {default}]"));
        format!("  {:<12}{}{default}\n", torture.name, torture.about)
    };
    let lines: String = TORTURES.iter().map(line).collect();
    format!("usage: cargo xtask torture NAME [--rounds N] [--seed N] [--release]\n\n{lines}")
}

/// Runs the torture that `args` name.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<bool> {
    let (Some(name), mut rest) = (args.first(), args.iter().skip(1)) else {
        println!("{}", usage());
        return Ok(true);
    };
    let torture = TORTURES.iter().find(|torture| torture.name == name.as_str());
    let torture = torture.with_context(|| format!("no torture {name}\n{}", usage()))?;
    let (mut rounds, mut seed, mut profile) = (None, None, Vec::new());
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--rounds" => rounds = Some(rest.next().context("--rounds takes a number")?),
            "--seed" => seed = Some(rest.next().context("--seed takes a number")?),
            "--release" => profile.extend(["--release", "--config", ASSERTIONS]),
            other => bail!("no argument {other}\n{}", usage()),
        }
    }
    if torture.programs {
        let mut build = super::cargo(root, &["build", "--workspace", "--bins", "--tests"], &[]);
        build.args(&profile);
        if !super::execute(build)? {
            return Ok(false);
        }
    }
    let mut command = super::cargo(root, &["test", "--test", torture.test], &[]);
    command.args(if torture.programs { ["--workspace"].as_slice() } else { ["-p", "persist"].as_slice() });
    command.args(&profile).arg("--").arg("--nocapture").args(torture.filter);
    if let Some((variable, default)) = torture.size {
        command.env(variable, rounds.map_or(default, String::as_str));
    } else if rounds.is_some() {
        bail!("{name} has no rounds");
    }
    if let Some(seed) = seed {
        command.env("FRESHET_TEST_SEED", seed);
    }
    super::execute(command)
}
