//! HTTP/2 as it is on the wire, without a gRPC library on the client's side to smooth it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpStream;

use super::{Server, put, start};
use crate::serve::grpc::encode;
use crate::wire::proto;

/// Sends one request; gives the answer's head, its body, and its trailers.
async fn send(server: &Server, request: Request<Full<Bytes>>) -> (Response<()>, Bytes, HeaderMap) {
    let address = server.urls[0].strip_prefix("http://").unwrap();
    let socket = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), socket).await.unwrap();
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.unwrap();
    let (head, body) = answer.into_parts();
    let body =
        tokio::time::timeout(Duration::from_secs(10), body.collect()).await.unwrap().unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    (Response::from_parts(head, ()), body.to_bytes(), trailers)
}

fn call(path: &str) -> http::request::Builder {
    Request::post(format!("http://store{path}")).header("content-type", "application/grpc")
}

fn status(headers: &HeaderMap) -> Option<&str> {
    headers.get("grpc-status").map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn an_answer_has_head_message_and_trailers() {
    let server = start(&[]).await;
    let message = encode(&put("a", "1"));
    let request = call("/etcdserverpb.KV/Put").body(Full::new(message)).unwrap();
    let (head, body, trailers) = send(&server, request).await;
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.headers()["content-type"], "application/grpc");
    assert_eq!(status(head.headers()), None);
    assert_eq!(status(&trailers), Some("0"));
    let answer = proto::PutResponse::decode(&body[5..]).unwrap();
    assert_eq!(answer.header.unwrap().revision, 2);
    server.stop().await;
}

#[tokio::test]
async fn a_refusal_has_a_head_only() {
    let server = start(&[]).await;
    let cases: [(&str, Bytes, &str, &str); 5] = [
        ("/etcdserverpb.KV/Put", encode(&put("", "")), "3", "etcdserver: key is not provided"),
        ("/etcdserverpb.KV/Put", Bytes::new(), "13", "the request has no message"),
        ("/etcdserverpb.KV/Put", Bytes::from_static(&[0, 0, 0, 0, 9, 1]), "13", "unexpected EOF"),
        (
            "/etcdserverpb.KV/Put",
            Bytes::from_static(&[1, 0, 0, 0, 0]),
            "12",
            "grpc: no compression is installed",
        ),
        (
            "/etcdserverpb.KV/Put",
            Bytes::from_static(&[0, 0, 0, 0, 1, 0xff]),
            "13",
            "grpc: error unmarshalling request: proto: illegal wire format",
        ),
    ];
    for (path, message, code, text) in cases {
        let request = call(path).body(Full::new(message)).unwrap();
        let (head, body, trailers) = send(&server, request).await;
        assert_eq!((head.status(), body.len()), (StatusCode::OK, 0), "{text}");
        assert_eq!(status(head.headers()), Some(code), "{text}");
        let told = head.headers()["grpc-message"].to_str().unwrap().replace("%20", " ");
        assert_eq!(told, text);
        assert!(trailers.is_empty(), "{trailers:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_clients_deadline_is_kept() {
    let server = start(&[]).await;
    let message = encode(&put("a", "1"));
    let request = call("/etcdserverpb.KV/Put").header("grpc-timeout", "1n");
    let (head, _, _) = send(&server, request.body(Full::new(message)).unwrap()).await;
    assert_eq!(status(head.headers()), Some("4"));
    assert_eq!(head.headers()["grpc-message"], "context%20deadline%20exceeded");
    // A stream is open until then; the client has asked nothing.
    let request = call("/etcdserverpb.Watch/Watch").header("grpc-timeout", "200m");
    let (head, body, trailers) = send(&server, request.body(Full::default()).unwrap()).await;
    assert_eq!((head.status(), body.len()), (StatusCode::OK, 0));
    assert_eq!(status(&trailers), Some("4"));
    server.stop().await;
}

#[tokio::test]
async fn pages_are_there_over_http2_too() {
    let server = start(&[]).await;
    let request = Request::get("http://store/health").body(Full::default()).unwrap();
    let (head, body, _) = send(&server, request).await;
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(body, "{\"health\":\"true\",\"reason\":\"\"}");
    // What is no call of gRPC is no page either.
    let request = Request::post("http://store/etcdserverpb.KV/Put").body(Full::default()).unwrap();
    assert_eq!(send(&server, request).await.0.status(), StatusCode::NOT_FOUND);
    server.stop().await;
}

#[tokio::test]
async fn a_broken_request_ends_a_stream_with_its_reason() {
    let server = start(&[]).await;
    let message = Bytes::from_static(&[0, 0, 0, 0, 1, 0xff]);
    let request = call("/etcdserverpb.Watch/Watch");
    let (_, _, trailers) = send(&server, request.body(Full::new(message)).unwrap()).await;
    assert_eq!(status(&trailers), Some("13"));
    server.stop().await;
}
