//! Streams of events that hear nothing: whether so many stay, and what one costs the server.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Options;
use super::people::{People, Person};
use crate::table::Table;

/// Streams that are begun at the same time.
const TOGETHER: usize = 32;
/// How long they stay open: the server looks for events that nobody told of, and says that it is there, in that time.
const STAY: Duration = Duration::from_secs(30);

/// Opens them, waits, and looks at the memory of the server.
pub(super) async fn run(people: &People, options: &Options) -> Result<String> {
    let place = options.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let before = memory(options.pid)?;
    let began = Instant::now();
    let mut open: Vec<TcpStream> = stream::iter(0..options.listeners)
        .map(|number| listen(&place, &people.all[number % people.all.len()]))
        .buffer_unordered(TOGETHER)
        .try_collect()
        .await?;
    let took = began.elapsed();
    tokio::time::sleep(STAY).await;
    let after = memory(options.pid)?;
    let mut alive = 0;
    for stream in &mut open {
        let mut heard = [0; 4096];
        // The events so far, and the beat; nothing at all, and it is dead.
        alive += usize::from(stream.try_read(&mut heard).is_ok_and(|bytes| bytes > 0));
    }
    ensure!(alive == open.len(), "{} of {} streams have died", open.len() - alive, open.len());
    let mut table = Table::new(&["streams open", "opened in s", "server before MiB", "with them MiB", "KiB a stream"]);
    let mib = |bytes: Option<u64>| bytes.map_or("?".to_owned(), |it| format!("{:.0}", it as f64 / f64::from(1 << 20)));
    let each =
        before.zip(after).map(|(before, after)| after.saturating_sub(before) as f64 / 1024.0 / open.len() as f64);
    let each = each.map_or("?".to_owned(), |it| format!("{it:.1}"));
    table.row(vec![open.len().to_string(), format!("{:.1}", took.as_secs_f64()), mib(before), mib(after), each]);
    Ok(table.text())
}

async fn listen(place: &str, Person { token, address }: &Person) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(place).await.context("a stream does not begin")?;
    let request = format!(
        "GET /v1/events HTTP/1.1\r\nhost: {place}\r\nauthorization: Bearer {token}\r\n\
         x-forwarded-for: {address}\r\naccept: text/event-stream\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = vec![0; 2048];
    let length = tokio::time::timeout(Duration::from_secs(60), stream.read(&mut head)).await??;
    let head = String::from_utf8_lossy(&head[..length]);
    ensure!(head.starts_with("HTTP/1.1 200"), "a stream is refused: {head}");
    Ok(stream)
}

/// Bytes of memory that a process holds.
fn memory(pid: Option<u32>) -> Result<Option<u64>> {
    let Some(pid) = pid else { return Ok(None) };
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kib.map(|kib| kib * 1024))
}
