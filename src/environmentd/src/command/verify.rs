//! `environmentd persist verify`: reads everything and names what is damaged.

use persist::{Verification, verify};
use stdx::Tasks;

use crate::boot::BootError;
use crate::command::{VerifyArgs, failed, text};

pub(crate) async fn run(args: &VerifyArgs, tasks: &Tasks) -> Result<(), BootError> {
    let store = args.store.open_to_read(tasks).await?;
    if store.in_use {
        eprintln!("an environment is running: what it has deleted since the log was read may be reported as missing");
    }
    let found = verify(store.log.as_ref(), &store.blob).await.map_err(failed)?;
    let Verification { checkpoints, entries, parts, part_bytes, inline_parts, damages } = &found;
    println!(
        "looked at {checkpoints} checkpoints, {entries} log entries, {parts} parts ({}), {inline_parts} inline parts",
        text::size(*part_bytes)
    );
    for damage in damages {
        println!("DAMAGED: {damage}");
    }
    match damages.len() {
        0 => {
            println!("everything is sound");
            Ok(())
        }
        count => Err(failed(format!("{count} damaged"))),
    }
}
