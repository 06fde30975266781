//! The order of commands.

use compute::command_channel;

#[test]
fn all_workers_receive_all_commands_in_the_order_in_which_they_were_sent() {
    const COMMANDS: u64 = 3000;
    let guards = timely::execute(timely::Config::process(3), |worker| {
        let (mut sender, receiver) = command_channel::<(u64, String)>(worker);
        assert_eq!(sender.is_some(), worker.index() == 0);
        let mut sent = 0;
        let mut received = Vec::new();
        while received.len() < COMMANDS as usize {
            if let Some(sender) = &sender {
                for _ in 0..(COMMANDS - sent).min(7) {
                    sender.send((sent, format!("command {sent}")));
                    sent += 1;
                }
            }
            worker.step();
            while let Some(command) = receiver.try_recv() {
                received.push(command);
            }
        }
        sender = None;
        assert!(sender.is_none());
        received
    });
    let expected: Vec<(u64, String)> = (0..COMMANDS).map(|number| (number, format!("command {number}"))).collect();
    for received in guards.expect("workers start").join() {
        assert_eq!(received.expect("the worker ends well"), expected);
    }
}
