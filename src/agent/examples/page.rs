//! Shows a view from a file as the page, for whoever works on its looks:
//! `cargo run -p agent --example page -- src/agent/tests/views/in-sync.json`. The file is read again when it
//! changes. Its certificate is made up at each start, so a browser warns once. Never part of a node.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use agent::page::bundle::Bundler;
use agent::page::{Board, Server};
use agent::{Files, View};

const PORT: u16 = 8443;

#[tokio::main]
async fn main() {
    let file = PathBuf::from(std::env::args().nth(1).expect("give the file of a view"));
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("crt"), made.cert.pem()).unwrap();
    std::fs::write(path("key"), made.signing_key.serialize_pem()).unwrap();
    let files = Files { certificate: path("crt"), key: path("key"), authority: path("crt") };
    let read = |file: &Path| View::read(&std::fs::read(file).unwrap()).unwrap();
    let board = Board::new(read(&file));
    let site = "harbour".parse().unwrap();
    let server = Server::bind_at(files, &site, ([127, 0, 0, 1], PORT).into()).unwrap();
    let shown = board.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            shown.show(read(&file));
        }
    });
    let bundler = Bundler::new(Path::new("/nowhere"), Path::new("/nowhere"));
    server.run(board, bundler, async { tokio::signal::ctrl_c().await.unwrap() }).await;
}
