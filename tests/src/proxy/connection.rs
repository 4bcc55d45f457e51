//! One connection that passes: both directions, and how it ends.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::broadcast,
};

use super::{
    Network,
    commit::{CommitFinder, Found, Sender},
};

/// How a connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// FIN to both sides.
    Cut,
    /// RST to both sides.
    Reset,
}

impl From<io::Error> for End {
    /// What breaks on one side breaks on the other.
    fn from(_: io::Error) -> Self {
        Self::Reset
    }
}

const CHUNK_SIZE: usize = 64 * 1024;

/// Passes a client's connection on until it ends by itself or is ended.
pub(super) async fn pass(mut client: TcpStream, network: &Network, mut ends: broadcast::Receiver<End>) {
    let Ok(mut server) = TcpStream::connect(network.target).await else {
        let _ = client.set_zero_linger();
        return;
    };
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
    }
    let end = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let commit_is_out = AtomicBool::new(false);
        let both = async {
            tokio::try_join!(
                to_postgres(network, from_client, to_server, &commit_is_out),
                from_postgres(network, from_server, to_client, &commit_is_out),
            )
        };
        tokio::select! {
            passed = both => passed.err().unwrap_or(End::Cut),
            end = ends.recv() => end.unwrap_or(End::Cut),
        }
    };
    for mut stream in [client, server] {
        match end {
            // Before it is closed: with something unread, closing alone would send RST.
            End::Cut => drop(stream.shutdown().await),
            End::Reset => drop(stream.set_zero_linger()),
        }
    }
}

/// Towards the server, with an eye on COMMIT; for another protocol, it just passes on.
async fn to_postgres(
    network: &Network,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    commit_is_out: &AtomicBool,
) -> Result<(), End> {
    let mut chunk = vec![0; CHUNK_SIZE];
    let mut finder = CommitFinder::new(Sender::Client);
    loop {
        let mut passing = read(network, &mut from, &mut chunk).await?;
        if passing.is_empty() {
            return Ok(to.shutdown().await?);
        }
        while let Some((_, end)) = finder.look(passing) {
            let (up_to_commit, rest) = passing.split_at(end);
            if network.swallowing.swap(false, Ordering::SeqCst) {
                // Before it is sent, so that the answer cannot slip through.
                commit_is_out.store(true, Ordering::SeqCst);
                to.write_all(up_to_commit).await?;
                // The answer ends the connection.
                return std::future::pending().await;
            }
            to.write_all(up_to_commit).await?;
            passing = rest;
        }
        to.write_all(passing).await?;
    }
}

async fn from_postgres(
    network: &Network,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    commit_is_out: &AtomicBool,
) -> Result<(), End> {
    let mut chunk = vec![0; CHUNK_SIZE];
    let mut finder = CommitFinder::new(Sender::Postgres);
    loop {
        let mut passing = read(network, &mut from, &mut chunk).await?;
        let swallowing = commit_is_out.load(Ordering::SeqCst);
        if passing.is_empty() {
            if swallowing {
                return Err(End::Reset);
            }
            return Ok(to.shutdown().await?);
        }
        if !swallowing {
            to.write_all(passing).await?;
        }
        while let Some((found, end)) = finder.look(passing) {
            if swallowing {
                let committed = usize::from(found == Found::Commit);
                network.commits_swallowed.fetch_add(committed, Ordering::SeqCst);
                return Err(End::Reset);
            }
            passing = &passing[end..];
        }
    }
}

/// The next chunk, once the network lets it pass; empty at the end.
async fn read<'a>(network: &Network, from: &mut ReadHalf<'_>, chunk: &'a mut [u8]) -> Result<&'a [u8], End> {
    let length = from.read(chunk).await?;
    let delay = *network.delay.borrow();
    tokio::time::sleep(delay).await;
    // The sender lives as long as the network does.
    let _ = network.stalled.subscribe().wait_for(|stalled| !stalled).await;
    Ok(&chunk[..length])
}
