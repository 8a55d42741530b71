//! Work that blocks, for a request that waits for it.

use std::any::Any;

use hyper::Uri;

use crate::problem::{Code, Problem};

/// Runs `work` on a blocking thread. A panic there becomes a 500 that names it; the server goes on.
///
/// # Cancel safety
/// When this is dropped the work goes on to its end.
pub(crate) async fn run<T: Send + 'static>(
    uri: &Uri,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|error| match error.try_into_panic() {
        Ok(panic) => Problem::internal(format!("a panic has occurred: {uri}: {}", panic_text(&*panic))),
        Err(_) => Problem::new(Code::Unavailable, "the server is stopping"),
    })
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}
