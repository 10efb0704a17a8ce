//! A hub on a port: `hub_server PORT [THREADS]`; one thread runs everything if there is no second argument.

use bowline_tokio::Server;
use tokio::runtime::Builder;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let port: u16 = args.next().unwrap_or("7790".into()).parse()?;
    let threads: usize = args.next().unwrap_or("1".into()).parse()?;
    let mut builder = if threads > 1 { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    builder.enable_all().build()?.block_on(async {
        let server = Server::builder().listen(&format!("127.0.0.1:{port}")).start().await?;
        println!("listening on {}", server.addresses()[0]);
        server.stopped().await;
        Ok(())
    })
}
