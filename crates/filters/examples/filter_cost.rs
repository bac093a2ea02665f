//! What a filter in Python costs: `filter_cost PYTHON [FOLDER]`.
//!
//! Starts the real host with a filter that adds a header (or with the filters of FOLDER), and
//! measures what the proxy waits for each request: match, call, changes applied. One line of JSON
//! for each number of concurrent requests; then the cost of a request that no filter matches.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cloudwright_filters::{Client, Event, Host, Options, Origin, Verdict};
use http::Request;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

const ADD_HEADER: &str = "
from cloudwright.proxy import Filter, Match, Request


class AddHeader(Filter):
    match = Match(path='/api/*')

    def on_request(self, request: Request) -> None:
        request.headers['x-added'] = 'yes'
";
const CALLS: usize = 20_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args_os().skip(1);
    let python = PathBuf::from(words.next().ok_or("usage: filter_cost PYTHON [FOLDER]")?);
    let folder = match words.next() {
        Some(folder) => PathBuf::from(folder),
        None => {
            let folder = std::env::temp_dir().join(format!("filter-cost-{}", std::process::id()));
            fs::create_dir_all(&folder)?;
            fs::write(folder.join("add_header.py"), ADD_HEADER)?;
            folder
        }
    };
    let report = Arc::new(|event: Event| eprintln!("{event:?}"));
    let (client, host) = Host::new(Options::new(python, folder, report));
    let (stop, stopped) = oneshot::channel::<()>();
    let start = Instant::now();
    let running = tokio::spawn(host.run(async move {
        // A sender that is gone means the same as a message.
        let _ = stopped.await;
    }));
    client.ready().await?;
    line(&format!(
        "\"ready_ms\":{:.1}",
        start.elapsed().as_secs_f64() * 1e3
    ));
    for concurrent in [1, 8, 64] {
        measure(&client, concurrent).await?;
    }
    let other = request("/static/logo.png");
    let start = Instant::now();
    let matched = (0..1_000_000)
        .filter(|_| client.chain(&other).is_some())
        .count();
    let each = start.elapsed().as_secs_f64() * 1e3;
    line(&format!(
        "\"without_match_ns\":{each:.1},\"matched\":{matched}"
    ));
    let mut metrics = String::new();
    client.write_metrics(&mut metrics);
    for counter in metrics.lines().filter(|text| text.contains("_total{")) {
        eprintln!("{counter}");
    }
    drop(stop);
    running.await?;
    Ok(())
}

async fn measure(client: &Client, concurrent: usize) -> Result<(), Box<dyn Error>> {
    let before = (cpu("self")?, children()?);
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..concurrent {
        let client = client.clone();
        tasks.spawn(async move {
            let mut times = Vec::with_capacity(CALLS / concurrent);
            for _ in 0..CALLS / concurrent {
                let mut parts = request("/api/cart");
                let start = Instant::now();
                if let Some(chain) = client.chain(&parts)
                    && let Verdict::Continue(changes) =
                        chain.request(&parts, &Origin::default(), true).await
                {
                    changes.apply_request(&mut parts);
                }
                times.push(start.elapsed());
                assert!(
                    parts.headers.contains_key("x-added"),
                    "the filter was left out"
                );
            }
            times
        });
    }
    let mut times: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
    let wall = start.elapsed();
    times.sort();
    let after = (cpu("self")?, children()?);
    let at = |share: f64| {
        let position = ((times.len() - 1) as f64 * share) as usize;
        times
            .get(position)
            .map_or(0.0, |time| time.as_secs_f64() * 1e6)
    };
    let each = |ticks: u64| ticks as f64 * 1e4 / times.len() as f64;
    line(&format!(
        "\"concurrent\":{concurrent},\"p50_us\":{:.1},\"p99_us\":{:.1},\"calls_per_s\":{:.0},\
         \"proxy_cpu_us\":{:.1},\"host_cpu_us\":{:.1}",
        at(0.5),
        at(0.99),
        times.len() as f64 / wall.as_secs_f64(),
        each(after.0 - before.0),
        each(after.1 - before.1),
    ));
    Ok(())
}

fn request(path: &str) -> http::request::Parts {
    let request = Request::get(path)
        .header("host", "shop.example")
        .header("user-agent", "curl/8.14.1")
        .header("accept", "*/*")
        .header("x-request-id", "6f2b1f2e-8d0c-4c1e-9a57-1f6a3f0f4e55")
        .header(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )
        .header("cookie", "session=0123456789abcdef0123456789abcdef")
        .body(())
        .unwrap_or_default();
    request.into_parts().0
}

/// Processor time of a process in hundredths of a second.
fn cpu(process: &str) -> Result<u64, Box<dyn Error>> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let after = text.rsplit(')').next().ok_or("no stat")?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let number = |index: usize| {
        fields
            .get(index)
            .map_or(Ok(0), |field| field.parse::<u64>())
    };
    Ok(number(11)? + number(12)?)
}

fn children() -> Result<u64, Box<dyn Error>> {
    let main = std::process::id();
    let text = fs::read_to_string(format!("/proc/self/task/{main}/children"))?;
    text.split_whitespace().map(cpu).sum()
}

#[allow(clippy::print_stdout)]
fn line(fields: &str) {
    println!("{{{fields}}}");
}
