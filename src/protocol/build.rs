//! Compiles the service definitions, without a protoc binary.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(["computectl.proto", "storagectl.proto"], ["proto"])?;
    tonic_prost_build::configure().bytes(".control.Frame.payload").compile_fds(descriptors)?;
    Ok(())
}
