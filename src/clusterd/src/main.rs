//! The clusterd binary.

fn main() -> std::process::ExitCode {
    clusterd::main_with(std::env::args_os())
}
