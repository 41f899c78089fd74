//! The control channel: data channel 0, agreed on beforehand, ordered and reliable, carrying text.

use crate::event::PeerEvent;
use crate::sockets::Sockets;
use std::sync::Arc;
use tokio::sync::mpsc;
use webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelInit};

/// The largest text that is sent or taken.
pub const MAX_CONTROL_BYTES: usize = 64 * 1024;

/// Bytes that may wait for the peer to take them before sending is refused.
pub(crate) const SEND_BUFFER_BYTES: usize = 1024 * 1024;

/// Texts that may wait for their reader. When they are full the channel is not read, and SCTP slows the peer down.
pub(crate) const QUEUE_TEXTS: usize = 64;

pub(crate) const LABEL: &str = "control";

pub(crate) fn parameters() -> RTCDataChannelInit {
    RTCDataChannelInit { ordered: true, negotiated: Some(0), ..Default::default() }
}

/// Reads the channel until it ends.
pub(crate) async fn run(channel: Arc<dyn DataChannel>, sockets: Arc<Sockets>, events: mpsc::Sender<PeerEvent>) {
    while let Some(event) = channel.poll().await {
        let event = match event {
            DataChannelEvent::OnOpen => {
                sockets.control_opened();
                PeerEvent::ControlOpen
            }
            DataChannelEvent::OnClose => PeerEvent::ControlClosed,
            DataChannelEvent::OnMessage(message) => {
                let text = String::from_utf8(message.data.to_vec());
                match text {
                    Ok(text) if message.is_string && text.len() <= MAX_CONTROL_BYTES => PeerEvent::Control(text),
                    Ok(_) | Err(_) => {
                        tracing::debug!(bytes = message.data.len(), "dropped what is no text from the control channel");
                        continue;
                    }
                }
            }
            _ => continue,
        };
        if events.send(event).await.is_err() {
            return;
        }
    }
}
