//! Asks the system what is plugged in, on a thread: a sound server that hangs holds up nobody, and only one thread
//! waits for it.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use ahoy_client::devices::{self, Hardware};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::state::Input;

/// How long the system may take.
const DEADLINE: Duration = Duration::from_secs(5);
const SILENT: &str =
    "The system does not answer when asked for its devices; restart its sound service, or the machine.";

/// The thread of the last question, which may be stuck.
#[derive(Debug, Default)]
pub(crate) struct Lister {
    asking: Option<JoinHandle<()>>,
}

impl Lister {
    /// Asks; the answer goes to `inputs`, within the deadline in any case.
    pub(crate) fn ask(&mut self, inputs: mpsc::Sender<Input>) {
        self.ask_with(DEADLINE, inputs, devices::list);
    }

    fn ask_with(
        &mut self,
        deadline: Duration,
        inputs: mpsc::Sender<Input>,
        list: impl FnOnce() -> Hardware + Send + 'static,
    ) {
        let (answer, answered) = oneshot::channel();
        let is_stuck = self.asking.as_ref().is_some_and(|asking| !asking.is_finished());
        if !is_stuck {
            let ask = move || drop(answer.send(list()));
            // Without a thread the question is dropped, which is an answer too.
            self.asking = thread::Builder::new().name("device-list".into()).spawn(ask).ok();
        }
        tokio::spawn(async move {
            let found = timeout(deadline, answered).await;
            let found = found.ok().and_then(Result::ok).ok_or_else(|| SILENT.to_owned());
            // An app that is gone does not want to know.
            let _ = inputs.send(Input::Hardware(found)).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_system_that_hangs_is_told_of_and_is_not_asked_twice_at_a_time() {
        let (inputs, mut answers) = mpsc::channel(4);
        let (release, held) = std::sync::mpsc::channel::<()>();
        let mut lister = Lister::default();
        let deadline = Duration::from_millis(50);
        lister.ask_with(deadline, inputs.clone(), move || {
            let _ = held.recv();
            Hardware::default()
        });
        assert!(matches!(answers.recv().await, Some(Input::Hardware(Err(_)))));
        lister.ask_with(deadline, inputs.clone(), || panic!("asked while the first question hangs"));
        assert!(matches!(answers.recv().await, Some(Input::Hardware(Err(_)))));
        drop(release);
        lister.asking.take().unwrap().join().unwrap();
        let usb = || Hardware { camera_problem: Some("asked again".into()), ..Hardware::default() };
        lister.ask_with(DEADLINE, inputs, usb);
        lister.asking.take().unwrap().join().unwrap();
        let Some(Input::Hardware(Ok(found))) = answers.recv().await else { panic!("no answer") };
        assert_eq!(found.camera_problem.as_deref(), Some("asked again"));
    }
}
