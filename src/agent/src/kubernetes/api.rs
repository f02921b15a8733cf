//! Asking the API server of this machine. Start at [`get`].

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Member, PORT};
use crate::ask::{Question, exchange, in_time};
use crate::certificates::{Files, TlsError, dns};

/// A name that every API server of k3s has, whatever else its machine is called.
const NAME: &str = "localhost";

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The certificates are not there yet, or do not fit.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// It does not answer.
    #[error("{0}")]
    Silent(String),
}

/// Asks for a page, showing the certificate of `files` and believing their authority alone. The body has at
/// most `question.longest` bytes.
///
/// # Errors
/// If nothing comes within `question.patience`, or the certificates are no good.
pub async fn get(files: &Files, question: Question<'_>) -> Result<(StatusCode, Bytes), ApiError> {
    let name = dns(NAME.to_owned())?;
    let connector = TlsConnector::from(Arc::new(files.client(std::slice::from_ref(&name))?));
    let asked = async {
        let socket = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))).await;
        let socket = socket.map_err(|error| error.to_string())?;
        let socket = connector.connect(name, socket).await.map_err(|error| error.to_string())?;
        exchange(socket, question).await
    };
    in_time(question.patience, asked).await.and_then(|answer| answer).map_err(ApiError::Silent)
}

/// The machines in a `NodeList` (Kubernetes API, core/v1), sorted by name; `most` of them.
#[must_use]
pub fn members(list: &Value, most: usize) -> Vec<Member> {
    let items = list["items"].as_array().into_iter().flatten();
    let member = |node: &Value| {
        let conditions = node["status"]["conditions"].as_array().into_iter().flatten();
        let ready = |condition: &&Value| condition["type"] == "Ready";
        Some(Member {
            name: node["metadata"]["name"].as_str()?.to_owned(),
            zone: node["metadata"]["labels"]["topology.kubernetes.io/zone"]
                .as_str()
                .map(str::to_owned),
            ready: conditions.filter(ready).any(|condition| condition["status"] == "True"),
        })
    };
    let mut members: Vec<Member> = items.filter_map(member).collect();
    members.sort_by(|one, other| one.name.cmp(&other.name));
    members.truncate(most);
    members
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_machine_that_says_so_is_ready() {
        let node = |name: &str, status: &str| {
            json!({
                "metadata": { "name": name, "labels": { "topology.kubernetes.io/zone": "room-b" } },
                "status": { "conditions": [
                    { "type": "MemoryPressure", "status": "False" },
                    { "type": "Ready", "status": status },
                ] },
            })
        };
        let new = json!({ "metadata": { "name": "n9" } });
        let list = json!({ "items": [node("n3", "Unknown"), new, node("n1", "True"), {}] });
        let told = |most| {
            let one =
                |member: Member| format!("{} {:?} {}", member.name, member.zone, member.ready);
            members(&list, most).into_iter().map(one).collect::<Vec<_>>()
        };
        assert_eq!(
            told(9),
            [r#"n1 Some("room-b") true"#, r#"n3 Some("room-b") false"#, "n9 None false"]
        );
        assert_eq!(told(1).len(), 1);
        assert!(members(&json!("no list"), 9).is_empty());
    }
}
