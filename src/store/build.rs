//! Makes Rust of the .proto files: messages, clients, and the description that reflection serves. Needs
//! no protoc and no network: protox is a compiler of its own.
//!
//! No server is generated: `serve` speaks gRPC by itself.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::{env, fs, io};

use prost::Message;

const FILES: [&str; 3] = ["rpc.proto", "kv.proto", "auth.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    io::stdout().write_all(b"cargo::rerun-if-changed=proto\n")?;
    let described = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo gives no OUT_DIR")?);
    fs::write(out.join("etcd.bin"), described.encode_to_vec())?;
    tonic_prost_build::configure().build_server(false).bytes(".").compile_fds(described)?;
    Ok(())
}
