//! [`Node`]: what the shards have counted, added up when somebody scrapes.
//!
//! Promises that the number of series depends on the configuration alone: labels are transports, directions, layers, closed lists
//! of reasons, and at most [`MAX_NAMESPACES`] patterns of the configuration. Nothing that a client chooses is a label.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType::{Counter, Gauge};

use crate::telemetry::counters::{Count, NodeCounters, ShardCounters};
use crate::telemetry::histogram::{Distribution, Histogram};
use crate::telemetry::readings::Families;
use crate::telemetry::traffic::{ByWord, MAX_NAMESPACES, Traffic};

/// What is counted on the threads of a node.
#[derive(Debug)]
pub struct Node {
    /// Of each shard.
    pub shards: Vec<(Arc<ShardCounters>, Arc<Traffic>)>,
    /// Of the control thread: connections that never came to a shard.
    pub control: Arc<Traffic>,
    /// Of the hub outside of the shards.
    pub node: Arc<NodeCounters>,
    /// Patterns of the namespaces, in the order of the configuration.
    pub namespaces: Vec<Box<str>>,
}

impl Node {
    fn hubs(&self, read: impl Fn(&ShardCounters) -> &Count) -> u64 {
        self.shards.iter().map(|(hub, _)| read(hub).get()).sum()
    }

    fn threads(&self) -> impl Iterator<Item = &Traffic> {
        let shards = self.shards.iter().map(|(_, traffic)| &**traffic);
        shards.chain([&*self.control])
    }

    fn traffic(&self, read: impl Fn(&Traffic) -> &Count) -> u64 {
        self.threads().map(|traffic| read(traffic).get()).sum()
    }

    fn hub_histogram(&self, read: impl Fn(&ShardCounters) -> &Histogram) -> Distribution {
        Histogram::sum(self.shards.iter().map(|(hub, _)| read(hub)))
    }

    fn histogram(&self, read: impl Fn(&Traffic) -> &Histogram) -> Distribution {
        Histogram::sum(self.threads().map(read))
    }

    /// The sums of a closed list.
    fn words<const N: usize>(
        &self,
        read: impl Fn(&Traffic) -> &ByWord<N>,
    ) -> Vec<(&'static str, u64)> {
        let mut sums: Vec<_> = read(&self.control).iter().collect();
        for (_, traffic) in &self.shards {
            for (sum, (_, count)) in sums.iter_mut().zip(read(traffic).iter()) {
                sum.1 += count;
            }
        }
        sums
    }

    fn connections(&self, to: &mut Families<'_>) -> fmt::Result {
        to.many(
            "sockgate_connections",
            "Client sessions by their transport",
            Gauge,
            [
                (
                    [("transport", "polling")],
                    self.traffic(|t| &t.sessions.polling),
                ),
                (
                    [("transport", "websocket")],
                    self.traffic(|t| &t.sessions.websocket),
                ),
            ],
        )?;
        to.one(
            "sockgate_connections_accepted",
            "Client sessions opened",
            Counter,
            self.traffic(|t| &t.opened),
        )?;
        to.many(
            "sockgate_connections_rejected",
            "Connections, handshakes and CONNECTs that were refused at a limit or for a fault",
            Counter,
            reasons(&self.words(|t| &t.rejected)),
        )?;
        to.one(
            "sockgate_accept_errors",
            "Connections that could not be accepted, for want of open files mostly",
            Counter,
            self.traffic(|t| &t.accept_errors),
        )?;
        let polling = self.words(|t| &t.closed.polling);
        let websocket = self.words(|t| &t.closed.websocket);
        let closed = [("polling", &polling), ("websocket", &websocket)]
            .into_iter()
            .flat_map(|(transport, words)| {
                words
                    .iter()
                    .map(move |(reason, n)| ([("transport", transport), ("reason", *reason)], *n))
            });
        to.many(
            "sockgate_connections_closed",
            "Client sessions that have ended",
            Counter,
            closed,
        )?;
        to.histograms(
            "sockgate_connection_duration_seconds",
            "How long the client sessions lived that have ended",
            [
                (
                    [("transport", "polling")],
                    self.histogram(|t| &t.lives.polling),
                ),
                (
                    [("transport", "websocket")],
                    self.histogram(|t| &t.lives.websocket),
                ),
            ],
        )?;
        to.histograms(
            "sockgate_handshake_duration_seconds",
            "From an accepted connection to its session (http), and from a CONNECT to its backend's decision (auth)",
            [
                ([("stage", "http")], self.histogram(|t| &t.handshakes)),
                ([("stage", "auth")], self.histogram(|t| &t.decisions)),
            ],
        )?;
        to.many(
            "sockgate_upgrades",
            "Upgrades from polling to WebSocket",
            Counter,
            [
                ([("result", "ok")], self.traffic(|t| &t.upgrades)),
                ([("result", "failed")], self.traffic(|t| &t.upgrades_failed)),
            ],
        )?;
        to.many(
            "sockgate_http_limited",
            "Requests and HTTP connections that were ended at a limit",
            Counter,
            self.words(|t| &t.http_limits)
                .iter()
                .map(|(limit, n)| ([("limit", *limit)], *n)),
        )
    }

    fn sockets(&self, to: &mut Families<'_>) -> fmt::Result {
        let own = self.namespaces.iter().take(MAX_NAMESPACES);
        let rest = (self.namespaces.len() > MAX_NAMESPACES).then_some("other");
        let labels = own.map(|pattern| &**pattern).chain(rest);
        let sockets = labels.enumerate().map(|(place, label)| {
            let sum = self.traffic(|t| t.sockets.at(place));
            ([("namespace", label)], sum)
        });
        to.many(
            "sockgate_sockets",
            "Sockets by the pattern of their namespace",
            Gauge,
            sockets,
        )?;
        to.many(
            "sockgate_connects",
            "CONNECTs by what became of them",
            Counter,
            [
                (
                    [("result", "accepted")],
                    self.traffic(|t| &t.connects_accepted),
                ),
                (
                    [("result", "refused")],
                    self.traffic(|t| &t.connects_refused),
                ),
                (
                    [("result", "undecided")],
                    self.traffic(|t| &t.connects_undecided),
                ),
            ],
        )?;
        to.one(
            "sockgate_room_memberships",
            "Memberships of sockets in rooms",
            Gauge,
            self.hubs(|h| &h.memberships),
        )?;
        to.one(
            "sockgate_joins_limited",
            "Joins that were refused at a limit",
            Counter,
            self.hubs(|h| &h.joins_limited),
        )?;
        to.one(
            "sockgate_acks_pending",
            "Acknowledgements awaited from clients",
            Gauge,
            self.hubs(|h| &h.acks_pending),
        )?;
        to.many(
            "sockgate_acks",
            "Acknowledgements that clients were asked for: those that came (ok), those of clients that left (gone), and those that nobody waited for to the end (given_up)",
            Counter,
            [
                ([("result", "ok")], self.hubs(|h| &h.acks_answered)),
                ([("result", "gone")], self.hubs(|h| &h.acks_gone)),
                ([("result", "given_up")], self.hubs(|h| &h.acks_given_up)),
            ],
        )
    }

    fn packets(&self, to: &mut Families<'_>) -> fmt::Result {
        to.many(
            "sockgate_packets",
            "Socket.IO packets from clients, and packets queued for clients",
            Counter,
            [
                ([("dir", "in")], self.traffic(|t| &t.packets_in)),
                ([("dir", "out")], self.hubs(|h| &h.deliveries)),
            ],
        )?;
        to.many(
            "sockgate_packet_bytes",
            "Bytes from clients, and bytes queued for clients",
            Counter,
            [
                ([("dir", "in")], self.traffic(|t| &t.bytes_in)),
                ([("dir", "out")], self.hubs(|h| &h.delivered_bytes)),
            ],
        )?;
        to.one(
            "sockgate_encodings",
            "Packets encoded for clients; a broadcast counts once",
            Counter,
            self.hubs(|h| &h.encodings) + self.node.encodings.get(),
        )?;
        to.histogram(
            "sockgate_fanout_seconds",
            "From handing an emit over to the shards until it is queued for all its recipients",
            &self.hub_histogram(|h| &h.fanout),
        )?;
        to.histogram(
            "sockgate_broadcast_recipients",
            "Recipients of an emit",
            &self.hub_histogram(|h| &h.recipients),
        )?;
        to.many(
            "sockgate_parse_errors",
            "What clients sent that could not be read, by protocol",
            Counter,
            self.words(|t| &t.parse_errors)
                .iter()
                .map(|(layer, n)| ([("layer", *layer)], *n)),
        )?;
        let mut dropped = self.words(|t| &t.dropped);
        dropped.push(("volatile", self.hubs(|h| &h.volatile_dropped)));
        to.many(
            "sockgate_dropped_packets",
            "Packets from clients that had no effect, and volatile packets to clients that could not take them",
            Counter,
            reasons(&dropped),
        )
    }

    fn queues(&self, to: &mut Families<'_>) -> fmt::Result {
        to.one(
            "sockgate_out_queue_bytes",
            "Bytes that wait for clients",
            Gauge,
            self.hubs(|h| &h.queue_bytes),
        )?;
        to.one(
            "sockgate_out_queue_packets",
            "Packets that wait for clients",
            Gauge,
            self.hubs(|h| &h.queue_frames),
        )?;
        let fullest = self.shards.iter().map(|(hub, _)| hub.queue_max_bytes.get());
        to.one(
            "sockgate_out_queue_max_bytes",
            "Bytes that wait for the client which reads the least",
            Gauge,
            fullest.max().unwrap_or_default(),
        )?;
        to.one(
            "sockgate_slow_clients",
            "Clients cut because they did not read",
            Counter,
            self.hubs(|h| &h.slow_consumers),
        )?;
        to.one(
            "sockgate_lanes_full",
            "Times that reading from a client stopped because its calls were not answered",
            Counter,
            self.traffic(|t| &t.lanes_full),
        )?;
        to.one(
            "sockgate_lanes",
            "Sockets whose calls are under way",
            Gauge,
            self.traffic(|t| &t.lanes),
        )?;
        to.many(
            "sockgate_shard_queue",
            "What waits for the shards: connections, and requests for their sessions that came to others",
            Gauge,
            [
                (
                    [("queue", "connections")],
                    self.traffic(|t| &t.arrivals),
                ),
                ([("queue", "mail")], self.traffic(|t| &t.mail)),
            ],
        )?;
        to.one(
            "sockgate_timers",
            "Timers of sessions and sockets, with those that nobody waits for any more",
            Gauge,
            self.traffic(|t| &t.timers),
        )?;
        to.one(
            "sockgate_inbox_waits",
            "Actions that had to wait for a place in the shards' inboxes",
            Counter,
            self.node.inbox_waits.get(),
        )
    }
}

fn reasons<'a>(
    words: &'a [(&'static str, u64)],
) -> impl Iterator<Item = ([(&'static str, &'a str); 1], u64)> {
    words
        .iter()
        .map(|(reason, count)| ([("reason", *reason)], *count))
}

impl Collector for Node {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut to = Families(encoder);
        self.connections(&mut to)?;
        self.sockets(&mut to)?;
        self.packets(&mut to)?;
        self.queues(&mut to)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use prometheus_client::registry::Registry;

    fn scrape(node: Node) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(node));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    fn node(shards: usize, namespaces: &[&str]) -> Node {
        let shard = || {
            let traffic = Arc::new(Traffic::new(namespaces.len()));
            (Arc::new(ShardCounters::default()), traffic)
        };
        Node {
            shards: (0..shards).map(|_| shard()).collect(),
            control: Arc::new(Traffic::new(namespaces.len())),
            node: Arc::default(),
            namespaces: namespaces.iter().map(|n| (*n).into()).collect(),
        }
    }

    #[track_caller]
    fn has(text: &str, line: &str) {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }

    #[test]
    fn the_shards_and_the_control_thread_are_added_up() {
        let node = node(2, &["/"]);
        for (hub, traffic) in &node.shards {
            hub.encodings.add(2);
            hub.recipients.observe(3.0);
            traffic.lives.websocket.observe(5.0);
            hub.queue_max_bytes.set(7);
            traffic.closed.websocket.increment("slow consumer");
            traffic.rejected.increment("limit");
            traffic.sockets.at(0).add(3);
        }
        node.shards[1].0.queue_max_bytes.set(9);
        node.control.rejected.increment("limit");
        node.node.encodings.increment();
        let text = scrape(node);
        has(&text, "sockgate_encodings_total 5");
        has(&text, r#"sockgate_broadcast_recipients_bucket{le="1.0"} 0"#);
        has(
            &text,
            r#"sockgate_broadcast_recipients_bucket{le="10.0"} 2"#,
        );
        has(
            &text,
            r#"sockgate_broadcast_recipients_bucket{le="+Inf"} 2"#,
        );
        has(&text, "sockgate_broadcast_recipients_sum 6.0");
        has(
            &text,
            r#"sockgate_connection_duration_seconds_count{transport="websocket"} 2"#,
        );
        has(&text, "sockgate_out_queue_max_bytes 9");
        has(
            &text,
            r#"sockgate_connections_closed_total{transport="websocket",reason="slow consumer"} 2"#,
        );
        has(
            &text,
            r#"sockgate_connections_rejected_total{reason="limit"} 3"#,
        );
        has(&text, r#"sockgate_sockets{namespace="/"} 6"#);
    }

    #[test]
    fn namespaces_are_bounded_and_the_rest_is_one_series() {
        let names: Vec<String> = (0..100).map(|n| format!("/{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let node = node(1, &names);
        for place in 0..100 {
            node.shards[0].1.sockets.at(place).increment();
        }
        let text = scrape(node);
        has(&text, r#"sockgate_sockets{namespace="/31"} 1"#);
        has(&text, r#"sockgate_sockets{namespace="other"} 68"#);
        let series = text.lines().filter(|l| l.starts_with("sockgate_sockets{"));
        assert_eq!(series.count(), MAX_NAMESPACES + 1);
    }

    #[test]
    fn a_pattern_with_quotes_stays_one_label() {
        let text = scrape(node(1, &["/a\"b\\c*"]));
        has(&text, r#"sockgate_sockets{namespace="/a\"b\\c*"} 0"#);
    }
}
