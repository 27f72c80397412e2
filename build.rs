//! Compiles `proto/` with protox, so that a build needs cargo alone, and leaves the descriptor set for reflection.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

const PROTOS: [&str; 6] = ["common", "market", "cluster", "replica", "warehouse", "admin"];

fn main() -> Result<(), Box<dyn Error>> {
    let files: Vec<String> = PROTOS.iter().map(|name| format!("proto/bazaar/v1/{name}.proto")).collect();
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(&files, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("bazaar.descriptors"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
