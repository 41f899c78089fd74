//! Building the peer connection: which codecs, interceptors, time-outs and sockets it has.

use super::{IceServer, PeerConfig, TransportError};
use crate::agreement::Agreement;
use crate::codecs::{self, Ssrcs};
use crate::control;
use crate::feedback::Feedback;
use crate::interceptor::{Arrivals, Bandwidth, LossRequests, Reports, Resends, Stage, Tap};
use crate::sockets::{Sockets, Tunnels};
use crate::track::Track;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::Slot;
use rtc::peer_connection::configuration::setting_engine::SctpMaxMessageSize;
use rtc::peer_connection::transport::RTCDtlsRole;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use webrtc::data_channel::DataChannel;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCBundlePolicy, RTCConfiguration,
    RTCConfigurationBuilder, RTCIceServer, RTCIceTransportPolicy, RTCRtcpMuxPolicy, Registry, SettingEngine,
    SettingEngineBuilder, configure_twcc_receiver_only,
};
use webrtc::rtp_transceiver::RtpSender;
use webrtc::runtime::Runtime;

/// Nothing heard for this long: the user should see it.
const DISCONNECTED_AFTER: Duration = Duration::from_secs(2);

/// No way back for this long. Longer than anyone waits: until then the old path may heal by itself, while an ICE restart ends it.
const FAILED_AFTER: Duration = Duration::from_secs(60);

/// Silence on both sides is not mistaken for a lost path: several of these fit into [`DISCONNECTED_AFTER`].
const KEEPALIVE_EVERY: Duration = Duration::from_millis(500);

/// How long better candidates are waited for before one of a kind is taken that already works.
const SRFLX_WAIT: Duration = Duration::from_millis(200);
const RELAY_WAIT: Duration = Duration::from_millis(700);

/// How often a path is looked for while there is none; the sockets thin out what would go to an address that never answers.
/// As many times as fit into more than the time after which a call without a path is given up: a pair that could not answer
/// in the first second may a moment later, when the peer's description has arrived.
const CHECK_EVERY: Duration = Duration::from_millis(50);
const CHECKS: u16 = 600;

/// How often an allocation is refreshed at least. A refresh that is refused for its nonce is not repeated by the TURN client,
/// and the next would otherwise come when the allocation expires (10 minutes, RFC 8656 §3.2).
const RELAY_REFRESH: Duration = Duration::from_secs(60);

/// Only listens, so it may stand after all interceptors that act.
const TAP_SLOT: usize = 13_500;

/// A peer connection with everything that it is to carry.
pub(super) struct Built {
    pub(super) connection: Arc<dyn PeerConnection>,
    /// In the order of [`Track::ALL`].
    pub(super) tracks: [Arc<TrackLocalStaticRTP>; Track::ALL.len()],
    /// The senders of the tracks.
    pub(super) senders: Vec<Arc<dyn RtpSender>>,
    pub(super) control: Arc<dyn DataChannel>,
    pub(super) sockets: Arc<Sockets>,
}

/// What the interceptors know of the rest.
#[derive(Clone)]
pub(super) struct Knowledge {
    pub(super) ssrcs: Ssrcs,
    pub(super) agreement: watch::Receiver<Agreement>,
    pub(super) feedback: Arc<Feedback>,
}

pub(super) async fn build(
    config: &PeerConfig,
    knowledge: &Knowledge,
    handler: Arc<dyn PeerConnectionEventHandler>,
) -> Result<Built, TransportError> {
    let failed = |error| TransportError::connection("opening the peer connection", error);
    // A question tells everybody on the network, the peer too, that this machine is there.
    let asks_nobody = config.loopback || config.relay_only;
    let mdns = if asks_nobody { MulticastDnsMode::Disabled } else { MulticastDnsMode::QueryOnly };
    let sockets = Arc::new(Sockets::default());
    if config.relay_only && usable(&config.ice_servers, true, &sockets).is_empty() {
        return Err(TransportError::NoRelay);
    }
    let connection = match connect(config, knowledge.clone(), Arc::clone(&handler), &sockets, mdns).await {
        // A machine without multicast can still call; only peers that hide their addresses are harder to reach.
        Err(error) if mdns != MulticastDnsMode::Disabled => {
            tracing::debug!(%error, "trying again without multicast DNS");
            connect(config, knowledge.clone(), handler, &sockets, MulticastDnsMode::Disabled).await
        }
        first => first,
    }
    .map_err(failed)?;

    let tracks =
        Track::ALL.map(|track| Arc::new(TrackLocalStaticRTP::new(codecs::outgoing_track(track, &knowledge.ssrcs))));
    let mut senders = Vec::with_capacity(tracks.len());
    for track in &tracks {
        // One transceiver for each section, in their order, for the whole life of the connection.
        let transceiver = connection.add_transceiver_from_track(track.clone(), None).await.map_err(failed)?;
        senders.extend(transceiver.sender().await.map_err(failed)?);
    }
    let control = connection.create_data_channel(control::LABEL, Some(control::parameters())).await.map_err(failed)?;
    Ok(Built { connection, tracks, senders, control, sockets })
}

async fn connect(
    config: &PeerConfig,
    knowledge: Knowledge,
    handler: Arc<dyn PeerConnectionEventHandler>,
    sockets: &Arc<Sockets>,
    mdns: MulticastDnsMode,
) -> Result<Arc<dyn PeerConnection>, webrtc::error::Error> {
    let mut media = codecs::media_engine(&config.video_codecs)?;
    // The crate reports to the peer on its transport-wide numbers, when it is told to. All else is our own: the crate asks for a packet again
    // until it leaves the window, though it came by retransmission; answers as often as it is asked; and its reports take a
    // time stamp that wraps for hours of jitter.
    let registry =
        configure_twcc_receiver_only(interceptors(knowledge), &mut media)?.with(Slot::TwccReceiver, Arrivals::new());
    let policy = if config.relay_only { RTCIceTransportPolicy::Relay } else { RTCIceTransportPolicy::All };
    let configuration = RTCConfigurationBuilder::new()
        .with_ice_servers(usable(&config.ice_servers, config.relay_only, sockets))
        .with_ice_transport_policy(policy)
        .with_bundle_policy(RTCBundlePolicy::MaxBundle)
        .with_rtcp_mux_policy(RTCRtcpMuxPolicy::Require)
        .with_certificates(vec![config.certificate.inner.clone()])
        .build();
    let connection = PeerConnectionBuilder::new()
        .with_configuration(configuration)
        .with_media_engine(media)
        .with_interceptor_registry(registry)
        .with_setting_engine(settings(config, mdns))
        .with_data_channel_send_buffer_limit(control::SEND_BUFFER_BYTES)
        .with_handler(handler)
        .with_runtime(Arc::clone(sockets) as Arc<dyn Runtime>)
        .with_udp_addrs(addresses(config.loopback))
        .build()
        .await?;
    Ok(Arc::new(connection))
}

/// A configuration that differs from that of [`connect`] in nothing that a connection may not change.
pub(super) fn configuration(servers: &[IceServer], relay_only: bool, sockets: &Sockets) -> RTCConfiguration {
    let policy = if relay_only { RTCIceTransportPolicy::Relay } else { RTCIceTransportPolicy::All };
    RTCConfigurationBuilder::new()
        .with_ice_servers(usable(servers, relay_only, sockets))
        .with_ice_transport_policy(policy)
        .with_bundle_policy(RTCBundlePolicy::MaxBundle)
        .with_rtcp_mux_policy(RTCRtcpMuxPolicy::Require)
        .build()
}

fn interceptors(knowledge: Knowledge) -> Registry {
    let Knowledge { ssrcs, agreement, feedback } = knowledge;
    let now = Instant::now();
    let bandwidth = Bandwidth::new(ssrcs, agreement.clone(), Arc::clone(&feedback));
    let resends = Resends::new(ssrcs, agreement.clone(), Arc::clone(&feedback));
    let loss = LossRequests::new(ssrcs.feedback(), agreement.clone(), Arc::clone(&feedback), now);
    let reports = Reports::new(ssrcs, agreement.clone(), Arc::clone(&feedback));
    Registry::new()
        .with(Slot::TwccSender, Stage::new(bandwidth))
        .with(Slot::NackResponder, Stage::new(resends))
        .with(Slot::NackGenerator, Stage::new(loss))
        .with(Slot::ReceiverReport, Stage::new(reports))
        .with(Slot::from(TAP_SLOT), Stage::new(Tap::new(ssrcs, agreement, feedback)))
}

fn settings(config: &PeerConfig, mdns: MulticastDnsMode) -> SettingEngine {
    let relay_wait = if config.relay_only { Duration::ZERO } else { RELAY_WAIT };
    SettingEngineBuilder::new()
        .with_ice_timeouts(Some(DISCONNECTED_AFTER), Some(FAILED_AFTER), Some(KEEPALIVE_EVERY))
        .with_ice_connection_attempts(Some(CHECK_EVERY), Some(CHECKS))
        // Who offered is the first to know that the path carries, and a handshake that begins there is through half a round
        // trip earlier; so who answers waits for it.
        .with_answering_dtls_role(RTCDtlsRole::Server)
        .with_host_acceptance_min_wait(Some(Duration::ZERO))
        .with_srflx_acceptance_min_wait(Some(SRFLX_WAIT))
        .with_prflx_acceptance_min_wait(Some(SRFLX_WAIT))
        .with_relay_acceptance_min_wait(Some(relay_wait))
        .with_multicast_dns_mode(mdns)
        .with_turn_allocation_refresh_interval_cap(RELAY_REFRESH)
        // After a change of network the old sockets lead nowhere.
        .with_discard_local_candidates_during_ice_restart(true)
        .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(control::MAX_CONTROL_BYTES as u32))
        .build()
}

/// Where to bind: a wildcard stands for every address of the machine but loopback and link-local ones.
fn addresses(loopback: bool) -> Vec<&'static str> {
    if loopback {
        return vec!["127.0.0.1:0"];
    }
    // Where there is no IPv6 at all, asking for it would only make noise.
    let has_v6 = std::net::UdpSocket::bind("[::]:0").is_ok();
    if has_v6 { vec!["0.0.0.0:0", "[::]:0"] } else { vec!["0.0.0.0:0"] }
}

/// The servers with the addresses that can be used: STUN over UDP, and TURN with a name and a password, over UDP or in a
/// tunnel. If only relays may be used, nothing else is among them.
fn usable(servers: &[IceServer], relay_only: bool, sockets: &Sockets) -> Vec<RTCIceServer> {
    let has_account = |server: &IceServer| !server.username.is_empty() && !server.credential.is_empty();
    let is_udp_relay =
        |server: &IceServer| server.urls.iter().any(|url| Tunnels::is_udp_relay(url, has_account(server)));
    sockets.tunnels().set_head_start(!relay_only || servers.iter().any(is_udp_relay));
    let usable = |server: &IceServer| {
        let read = |url: &String| sockets.tunnels().usable(url, has_account(server));
        let found = server.urls.iter().filter_map(read).filter(|(_, is_relay)| *is_relay || !relay_only);
        let urls: Vec<String> = found.map(|(url, _)| url).collect();
        if urls.len() < server.urls.len() {
            tracing::debug!(all = ?server.urls, ?urls, "passed over what cannot be used of an ICE server");
        }
        let IceServer { username, credential, .. } = server.clone();
        (!urls.is_empty()).then_some(RTCIceServer { urls, username, credential })
    };
    servers.iter().filter_map(usable).collect()
}
