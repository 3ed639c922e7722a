//! The task behind one upstream connection: writes what callers queued, reads answers, and keeps the peer company.
//!
//! One turn of the task: deliver what was read, let other tasks queue more, write all of it at once.

mod writing;

use std::{
    future::poll_fn,
    io, mem,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use aeraki_codec::{
    Codec, Control, Decoded, Demand, EncodeError, Flow, Framer, Id, Kind, LocalReply, Message, Output, Reason, Role,
    Serving,
};
use futures_util::FutureExt;
use tokio::io::AsyncWriteExt;

use super::{
    connect::connect,
    link::{Delivered, Link, Outcome, Queue},
    pool::{Member, Pool},
    stats::ClusterStats,
    upkeep::{Activity, Clock, Due, Upkeep},
};
use crate::{
    boxes::Boxes,
    io::{Inbox, Io},
};

/// Makes the connection unless there is a spare one, drives it to its end, and ends every request that is still in
/// flight, also when the task is dropped.
pub(super) async fn run(pool: Arc<Pool>, member: Arc<Member>, spare: Option<Box<dyn Io>>) {
    let end = End { pool: &pool, member: &member, failure: None };
    let io = match spare {
        Some(io) => Ok(io),
        None => connect(&pool.address, &*pool.connector, &pool.shared).await,
    };
    match io {
        Ok(io) => {
            let reply = drive(io, &pool, &member).await;
            end.with(reply, false);
        }
        Err(reply) => end.with(reply, true),
    }
}

async fn drive(io: Box<dyn Io>, pool: &Arc<Pool>, member: &Arc<Member>) -> LocalReply {
    let mut driver = match Driver::new(io, pool, member) {
        Ok(driver) => driver,
        Err(reply) => return reply,
    };
    match poll_fn(|cx| driver.poll(cx)).await {
        Ok(()) => {
            driver.part();
            LocalReply::new(Reason::UpstreamClosed, "the connection was not needed any more")
        }
        Err(reply) => reply,
    }
}

/// Ends a connection exactly once, however its task ends.
struct End<'a> {
    pool: &'a Arc<Pool>,
    member: &'a Arc<Member>,
    failure: Option<LocalReply>,
}

impl End<'_> {
    fn with(mut self, reply: LocalReply, unmade: bool) {
        if self.member.link.close(&reply) > 0 && !unmade {
            self.pool.shared.stats.upstream_cx_destroy_with_active_rq.inc();
        }
        self.failure = unmade.then_some(reply);
    }
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.member.link.close(&LocalReply::new(Reason::UpstreamClosed, "the proxy is shutting down"));
        self.pool.remove(self.member, self.failure.as_ref());
    }
}

struct Driver<'a> {
    io: Box<dyn Io>,
    framer: Framer,
    inbox: Inbox,
    out: Output,
    /// Whether `out` may hold bytes, or the stream may.
    writing: bool,
    batch: Queue,
    /// Boxes of requests that were written, for their answers.
    boxes: Boxes,
    /// One-way requests in `out`.
    oneways: Vec<u32>,
    /// Frames of streams in `out`: their ids and lengths.
    frames: Vec<(Id, usize)>,
    /// Whether other tasks had a chance to add to the queue, or could not where one request is all there may be.
    yielded: bool,
    /// Whether the codec wants no requests yet.
    hold: bool,
    /// Whether nothing is read, since callers are slow to take what there is.
    paused: bool,
    /// Bytes in `out` that nobody asked for but the peer.
    chatter: usize,
    upkeep: Upkeep,
    clock: Option<Clock>,
    activity: Activity,
    waker: Option<Waker>,
    demand: Demand,
    pool: &'a Arc<Pool>,
    member: &'a Arc<Member>,
}

impl<'a> Driver<'a> {
    fn new(io: Box<dyn Io>, pool: &'a Arc<Pool>, member: &'a Arc<Member>) -> Result<Self, LocalReply> {
        let (config, context) = (&pool.shared.config, &pool.shared.context);
        let upkeep = Upkeep::new(config.heartbeat_interval, config.idle_timeout)
            .with_retire_after(config.limits.max_connection_duration);
        let clock = upkeep.period().map(Clock::new);
        let mut driver = Self {
            io,
            framer: Framer::new(pool.protocol.codec(Role::Client, &context.limits)),
            inbox: Inbox::new(context.buffers.clone()),
            out: Output::new(),
            writing: false,
            batch: Queue::default(),
            boxes: Boxes::new(member.link.depth as usize),
            oneways: Vec::new(),
            frames: Vec::new(),
            yielded: member.link.depth == 1,
            hold: false,
            paused: false,
            chatter: 0,
            upkeep,
            clock,
            activity: Activity::default(),
            waker: None,
            demand: Demand::none(),
            pool,
            member,
        };
        driver.control(Control::Open)?;
        Ok(driver)
    }

    /// Tells the server that nothing more comes, if that can be told at once: in TLS the end of the stream says
    /// nothing.
    fn part(&mut self) {
        let _ = self.io.shutdown().now_or_never();
    }

    fn link(&self) -> &'a Link {
        &self.member.link
    }

    fn stats(&self) -> &'a ClusterStats {
        &self.pool.shared.stats
    }

    /// Ends with the reason why the requests in flight get no answer, or with nothing where there are none.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LocalReply>> {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.link().attach(cx.waker());
            self.waker = Some(cx.waker().clone());
        }
        self.poll_clock(cx)?;
        self.poll_read(cx)?;
        self.poll_write(cx)
    }

    fn poll_clock(&mut self, cx: &mut Context<'_>) -> Result<(), LocalReply> {
        while let Some(clock) = &mut self.clock
            && clock.poll_tick(cx).is_ready()
        {
            let period = clock.period();
            self.tick(period)?;
        }
        Ok(())
    }

    fn tick(&mut self, period: Duration) -> Result<(), LocalReply> {
        let mut activity = mem::take(&mut self.activity);
        activity.used |= self.member.load() > 0;
        if !activity.used {
            self.out.release();
            self.boxes.release();
        }
        if self.writing && self.link().is_finished() {
            return Err(self.ended("did not take the end of its streams"));
        }
        match self.upkeep.tick(period, activity) {
            Due::Nothing => {}
            Due::Ping => self.ping()?,
            Due::Idle if self.pool.retire(self.member) => self.stats().upstream_cx_idle_timeout.inc(),
            Due::Expired if self.pool.retire(self.member) => self.stats().upstream_cx_max_duration_reached.inc(),
            Due::Idle | Due::Expired => {}
            Due::Close => return Err(self.ended("did not answer signs of life")),
        }
        Ok(())
    }

    fn ping(&mut self) -> Result<(), LocalReply> {
        match self.control(Control::Ping)? {
            Flow::Ignored => self.upkeep.stop_pings(),
            _ => self.stats().upstream_heartbeats.inc(),
        }
        Ok(())
    }

    /// Delivers what there is, unless callers are slow to take it.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<(), LocalReply> {
        loop {
            self.decode()?;
            let paused = !self.inbox.is_empty() && self.link().is_congested();
            if paused != self.paused {
                self.pause(paused);
            }
            if paused {
                return Ok(());
            }
            match self.inbox.poll_fill(&mut self.io, cx, self.framer.wanted()) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) if self.inbox.is_empty() => return Err(self.ended("closed the connection")),
                Poll::Ready(Ok(0)) => return Err(self.ended("closed the connection in the middle of a message")),
                Poll::Ready(Ok(_)) => self.activity.heard = true,
                Poll::Ready(Err(error)) => return Err(self.failed(&error)),
            }
        }
    }

    #[cold]
    fn pause(&mut self, paused: bool) {
        self.paused = paused;
        let stats = self.stats();
        let count = match paused {
            true => &stats.upstream_flow_control_paused_reading_total,
            false => &stats.upstream_flow_control_resumed_reading_total,
        };
        count.inc();
    }

    fn decode(&mut self) -> Result<(), LocalReply> {
        while !self.link().is_congested() {
            match self.framer.decode(self.inbox.bytes(), &self.demand) {
                Ok(Decoded::Partial) => break,
                Ok(Decoded::Message(message)) => {
                    let message = self.boxes.fill(message);
                    self.receive(message)?;
                }
                Ok(Decoded::Invalid(message, error)) => self.receive_invalid(&message, &error.to_string())?,
                Ok(_) => return Err(self.nonsense("something that is no message")),
                Err(error) => return Err(self.nonsense(&error.to_string())),
            }
        }
        Ok(())
    }

    fn receive(&mut self, message: Box<Message>) -> Result<(), LocalReply> {
        if message.head().says_goodbye() {
            self.take_leave();
        }
        match message.kind() {
            Kind::Response | Kind::Error => self.deliver(message.id(), Ok(Some(message))),
            Kind::Heartbeat | Kind::Event => self.control(Control::Frame(&message)).map(drop),
            Kind::Request | Kind::Oneway => self.refuse(&message),
            _ => self.deliver_frame(message),
        }
    }

    fn receive_invalid(&self, message: &Message, error: &str) -> Result<(), LocalReply> {
        self.stats().upstream_rs_invalid.inc();
        match message.kind() {
            kind if kind.is_response() => {
                let text = format!("{} sent an answer that cannot be read: {error}", self.pool.address);
                self.deliver(message.id(), Err(LocalReply::new(Reason::BadResponse, text)))
            }
            kind if kind.is_stream_frame() => {
                let text = format!("{} sent a frame that cannot be read: {error}", self.pool.address);
                self.link().fail_stream(message.id(), &LocalReply::new(Reason::BadResponse, text));
                Ok(())
            }
            // it may be an answer, and somebody would wait for it in vain
            Kind::Request if message.id() == Id::None => Err(self.nonsense(error)),
            _ => Ok(()),
        }
    }

    fn deliver(&self, id: Id, outcome: Outcome) -> Result<(), LocalReply> {
        self.judge(self.link().answer(id, outcome))
    }

    fn deliver_frame(&self, message: Box<Message>) -> Result<(), LocalReply> {
        match self.link().receive_frame(message) {
            // the server did not know yet that the stream has ended
            Delivered::Stale => {
                self.stats().upstream_rs_late.inc();
                Ok(())
            }
            delivered => self.judge(delivered),
        }
    }

    fn judge(&self, delivered: Delivered) -> Result<(), LocalReply> {
        match delivered {
            Delivered::Yes => return Ok(()),
            Delivered::Late => self.pool.exhume(self.member),
            Delivered::Stale if self.link().depth > 1 => {}
            Delivered::Stale | Delivered::Unknown => {
                self.stats().upstream_rs_wrong_id.inc();
                return Err(self.nonsense("an answer to a request that was not asked"));
            }
        }
        self.stats().upstream_rs_late.inc();
        Ok(())
    }

    /// Answers a request of the server: nobody behind the proxy could.
    fn refuse(&mut self, message: &Message) -> Result<(), LocalReply> {
        self.stats().upstream_rq_from_server.inc();
        if self.pool.protocol.wire().server == Serving::Serial {
            // it stands where an answer should, and somebody would wait for that in vain
            return Err(self.nonsense("a request"));
        }
        if message.kind() != Kind::Request {
            return Ok(());
        }
        let reply = LocalReply::new(Reason::BadRequest, "the proxy takes no requests from servers");
        self.chat(|codec, out| codec.reply(&message.receipt(), &reply, out)).map(drop)
    }

    fn control(&mut self, event: Control<'_>) -> Result<Flow, LocalReply> {
        let flow = self.chat(|codec, out| codec.control(event, out))?;
        match flow {
            Flow::Hold => self.hold = true,
            Flow::Ready => self.hold = false,
            Flow::Drain => self.take_leave(),
            Flow::Close => return Err(self.ended("asked for the end of the connection")),
            _ => {}
        }
        Ok(flow)
    }

    /// Takes the server at its word that it wants no further requests.
    fn take_leave(&self) {
        if self.pool.retire(self.member) {
            self.stats().upstream_cx_drain_close.inc();
            self.pool.host.leave();
        }
    }

    /// Writes what is no request, within bounds.
    fn chat<R>(
        &mut self,
        write: impl FnOnce(&mut dyn Codec, &mut Output) -> Result<R, EncodeError>,
    ) -> Result<R, LocalReply> {
        let mark = self.out.mark();
        let written = write(self.framer.codec(), &mut self.out).map_err(|error| self.nonsense(&error.to_string()))?;
        self.writing = true;
        self.chatter += self.out.len_since(mark);
        if self.chatter > CHATTER { Err(self.nonsense("events faster than it takes the answers")) } else { Ok(written) }
    }

    fn ended(&self, how: &str) -> LocalReply {
        LocalReply::new(Reason::UpstreamClosed, format!("{} {how}", self.pool.address))
    }

    fn failed(&self, error: &io::Error) -> LocalReply {
        LocalReply::new(Reason::UpstreamClosed, format!("the connection to {} broke: {error}", self.pool.address))
    }

    fn nonsense(&self, what: &str) -> LocalReply {
        self.stats().upstream_cx_protocol_error.inc();
        LocalReply::new(Reason::BadResponse, format!("{} sent {what}", self.pool.address))
    }
}

/// Bytes that a peer may make the proxy write while it does not read.
const CHATTER: usize = 64 * 1024;
