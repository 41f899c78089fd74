//! A thread of a call's media whose panic the user is told of. The call goes on with what is left of it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tracing::error;

use super::fault::Part;
use super::shared::Shared;
use crate::worker::{Stop, Worker};

/// Starts the thread of that part, which returns soon after [`Stop::is_requested`].
///
/// # Errors
/// When the system gives no thread.
pub(crate) fn start(part: Part, shared: &Arc<Shared>, body: impl FnOnce(&Stop) + Send + 'static) -> io::Result<Worker> {
    let (name, sentence) = match part {
        Part::Task => ("task", "A fault in Ahoy broke the call off; call again."),
        Part::Encoder => ("encoder", "Your picture is not sent any more, by a fault in Ahoy; call again to send it."),
        Part::Decoder => ("decoder", "Their picture is not shown any more, by a fault in Ahoy; call again to see it."),
        Part::Audio => ("audio", "There is no sound any more, by a fault in Ahoy; call again to hear each other."),
    };
    let shared = Arc::clone(shared);
    Worker::start(name, move |stop| {
        // What the body owned is gone with it; what it shared are counters and queues, which stay in order.
        if catch_unwind(AssertUnwindSafe(|| body(&stop))).is_err() {
            error!(call = %shared.call, name, "a media thread panicked; the call goes on without it");
            shared.media_failed(sentence.to_owned());
        }
    })
}
