//! As much of HTTP/1.1 as an exporter needs.

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpStream;

/// A request's path and its whole body.
pub(super) struct Request {
    pub(super) path: String,
    pub(super) body: Vec<u8>,
}

/// How a body is delimited.
enum Framing {
    Length(usize),
    Chunks,
}

/// Reads the next request, or `None` at the end of the connection.
pub(super) async fn read_request(connection: &mut BufReader<TcpStream>) -> anyhow::Result<Option<Request>> {
    let Some(request_line) = read_line(connection).await? else { return Ok(None) };
    let path = request_line.split(' ').nth(1).context("a request line without a path")?.to_owned();
    let mut framing = Framing::Length(0);
    while let Some(line) = read_line(connection).await?
        && let Some((name, value)) = line.split_once(':')
    {
        match name.to_ascii_lowercase().as_str() {
            "content-length" => framing = Framing::Length(value.trim().parse()?),
            "transfer-encoding" => framing = Framing::Chunks,
            _ => {}
        }
    }
    let body = match framing {
        Framing::Length(length) => read_exactly(connection, length).await?,
        Framing::Chunks => read_chunks(connection).await?,
    };
    Ok(Some(Request { path, body }))
}

async fn read_chunks(connection: &mut BufReader<TcpStream>) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(connection).await?.context("the connection ended inside a body")?;
        let chunk = read_exactly(connection, usize::from_str_radix(&line, 16)?).await?;
        read_line(connection).await?;
        if chunk.is_empty() {
            return Ok(body);
        }
        body.extend(chunk);
    }
}

async fn read_exactly(connection: &mut BufReader<TcpStream>, length: usize) -> anyhow::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    connection.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// The next line without its end, or `None` at the end of the connection.
async fn read_line(connection: &mut BufReader<TcpStream>) -> anyhow::Result<Option<String>> {
    let mut line = String::new();
    let read = connection.read_line(&mut line).await?;
    Ok((read > 0).then(|| line.trim_end().to_owned()))
}
