//! What the command line says.

use clap::Parser;

use crate::Args;

fn args(args: &[&str]) -> Args {
    Args::try_parse_from(["clusterd"].iter().chain(args)).unwrap()
}

#[test]
fn conventional_ports_are_defaults() {
    let args = args(&[]);
    assert_eq!(args.storagectl_listen_addr.to_string(), "127.0.0.1:2100");
    assert_eq!(args.computectl_listen_addr.to_string(), "127.0.0.1:2101");
    assert_eq!(args.timely_listen_addr.to_string(), "127.0.0.1:2102");
    assert_eq!(args.validate(), Ok(()));
}

#[test]
fn flags_that_do_not_fit_each_other_are_refused() {
    let cases: [(&[&str], &str); 5] = [
        (&["--process=1"], "--process=1 is not below the number of processes, 1"),
        (&["--processes=0"], "--processes must be at least 1"),
        (&["--processes=2"], "--timely-peers names 0 addresses for 2 processes"),
        (
            &["--computectl-listen-addr=0.0.0.0:1"],
            "--computectl-listen-addr 0.0.0.0:1 is not a loopback address: this needs --tls-cert, or --insecure-listeners",
        ),
        (&["--process=2", "--timely-peers=a:1,b:1"], "--process=2 is not below the number of processes, 2"),
    ];
    for (flags, line) in cases {
        assert_eq!(args(flags).validate(), Err(line.to_owned()));
    }
    assert_eq!(args(&["--computectl-listen-addr=0.0.0.0:1", "--insecure-listeners"]).validate(), Ok(()));
    let certified = ["--tls-cert=c", "--tls-key=k", "--tls-ca=a"];
    assert_eq!(args(&[&["--computectl-listen-addr=0.0.0.0:1"][..], &certified].concat()).validate(), Ok(()));
    for missing in 0..certified.len() {
        let mut flags = vec!["clusterd"];
        flags.extend(certified.iter().enumerate().filter(|(index, _)| *index != missing).map(|(_, flag)| *flag));
        assert!(Args::try_parse_from(flags).is_err(), "without {}", certified[missing]);
    }
}
