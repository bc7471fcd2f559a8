//! Players of HLS in the world, and what must hold for them.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use corecast_media::name::{SessionId, ShardId};
use corecast_media::time::Time;
use corecast_mesh::message::NewPlayer;
use corecast_protocol::hls::{Answer, Resource, Response};
use corecast_shard::hub::{Asker, Watched};

use crate::player::{Ask, Player};
use crate::playlist::List;
use crate::shelf::Shelf;
use crate::world::World;

/// Players of a run at the same time.
const PLAYERS_MAX: usize = 10;
/// The home answers within this time, or the request is over.
const HOME_ANSWER_MAX: Duration = Duration::from_secs(5);
/// The least target duration that there is.
const TARGET_MIN: Duration = Duration::from_secs(1);
/// How many target durations a request may wait.
const WAIT_TARGETS_MAX: u32 = 3;
/// What one round of a shard may take.
const ROUND_MAX: Duration = Duration::from_millis(100);
/// Requests of one player in a round.
const ASKS_MAX: usize = 6;

impl World {
    pub(crate) fn start_player(&mut self) {
        if self.players.len() < PLAYERS_MAX && self.players_come() {
            let session = self.new_session();
            let mount = match self.dice.chance(95) {
                true => self.some_film(),
                false => self.some_mount(),
            };
            self.players.insert(session, Player::new(mount, self.now));
        }
    }

    /// In some runs nobody watches for so long that packagers stop.
    fn players_come(&self) -> bool {
        self.seed % 4 != 3 || !(5_000..48_000).contains(&self.now.as_millis())
    }

    /// A player goes away, mostly in the middle of a request.
    pub(crate) fn close_player(&mut self) {
        let index = self.dice.below(self.players.len().max(1) as u64) as usize;
        if let Some(&session) = self.players.keys().nth(index) {
            self.end_player(session);
        }
    }

    fn end_player(&mut self, session: SessionId) {
        let player = self.players.remove(&session);
        if let Some((mount, ask)) = player.and_then(|player| Some((player.mount, player.ask?)))
            && let Some(waiter) = ask.waiter
        {
            let node = &mut self.nodes[session.shard().index()];
            node.hub.stop_waiting(&mount, waiter);
        }
    }

    pub(crate) fn end_players(&mut self) {
        while let Some((&session, _)) = self.players.first_key_value() {
            self.end_player(session);
        }
    }

    /// A player is told to ask again.
    pub(crate) fn ask_again(&mut self, session: SessionId) {
        let player = self.players.get_mut(&session);
        if let Some(ask) = player.and_then(|player| player.ask.as_mut()) {
            ask.again = true;
        }
    }

    /// The players of a shard ask for what they want now.
    pub(crate) fn play(&mut self, index: usize) {
        let here = |session: &&SessionId| session.shard().index() == index;
        let sessions: Vec<SessionId> = self.players.keys().filter(here).copied().collect();
        if !self.players_come() {
            sessions
                .into_iter()
                .for_each(|session| self.end_player(session));
            return;
        }
        for session in sessions {
            let Some(mut player) = self.players.remove(&session) else {
                continue;
            };
            for _ in 0..ASKS_MAX {
                match self.turn(session, &mut player) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(what) => {
                        let what = format!("player {session} of {}: {what}", player.mount);
                        self.fault.get_or_insert(what);
                        break;
                    }
                }
            }
            self.players.insert(session, player);
        }
    }

    /// One request of a player; says whether it has another.
    fn turn(&mut self, session: SessionId, player: &mut Player) -> Result<bool, String> {
        let now = self.now;
        let waits = |ask: &Ask| ask.waiter.is_some() && !ask.again;
        if player.ask.as_ref().is_some_and(waits) || player.next_at > now {
            return Ok(false);
        }
        let mut ask = match player.ask.take() {
            Some(ask) => ask,
            None => {
                let mut ask = player.wish(now, &mut self.dice);
                ask.stalled_ms = self.nodes[session.shard().index()].stalled_ms;
                ask
            }
        };
        (ask.again, ask.waiter) = (false, None);
        match self.ask(session, player, &ask)? {
            Watched::Wait(waiter) => {
                self.report.waits += 1;
                ask.waiter = Some(waiter);
                player.ask = Some(ask);
                return Ok(false);
            }
            Watched::Refused(_) => {
                player.forget();
                player.next_at = now + Duration::from_millis(self.dice.within(50, 3_000));
            }
            Watched::Answer(answer) => {
                self.report.answers += 1;
                self.note(session.as_u64() ^ u64::from(answer.status().unwrap_or(0)));
                self.take(session, player, &ask, answer)
                    .map_err(|what| format!("{} {}: {what}", ask.name, ask.query))?;
            }
        }
        Ok(true)
    }

    fn ask(&mut self, session: SessionId, player: &Player, ask: &Ask) -> Result<Watched, String> {
        let directives = ask.directives();
        let request = ask.request(&directives);
        let request = request.ok_or_else(|| format!("{} is no name", ask.name))?;
        let card = || NewPlayer {
            player: session.as_u64(),
            session,
            peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            user_agent: "sim".into(),
            referer: "".into(),
            request: "GET / HTTP/1.1".into(),
            since: self.now,
        };
        let asker = Asker {
            player: session.as_u64(),
            card: &card,
        };
        let asker = matches!(request.resource, Resource::Playlist(_)).then_some(asker);
        let hub = &mut self.nodes[session.shard().index()].hub;
        Ok(hub.watch(self.now, session, &player.mount, &request, asker))
    }

    /// Asks for what must be there now.
    fn ask_at_once(
        &mut self,
        session: SessionId,
        player: &Player,
        ask: &Ask,
    ) -> Result<Response, String> {
        match self.ask(session, player, ask)? {
            Watched::Answer(Answer::Ready(response)) => Ok(response),
            other => Err(format!("{} is answered with {other:?}", ask.name)),
        }
    }

    fn take(
        &mut self,
        session: SessionId,
        player: &mut Player,
        ask: &Ask,
        answer: Answer,
    ) -> Result<(), String> {
        let is_list = ask.name.ends_with(".m3u8");
        match answer {
            Answer::Ready(response) if ask.name == "main.m3u8" => {
                let text = self.text(session, player, &response)?;
                self.take_multivariant(session, player, &text)
            }
            Answer::Ready(response) if is_list => {
                let text = self.text(session, player, &response)?;
                let list = List::parse(&text)?;
                self.take_list(session, player, ask, list)
                    .map_err(|what| format!("{what} in {text}"))
            }
            Answer::Ready(response) => {
                let address = format!("{}/{}", player.mount, ask.name);
                let pieces = response.body.pieces();
                let hash = self.shelf.note(session.shard(), &address, pieces)?;
                self.note(hash);
                Ok(())
            }
            Answer::NotFound if ask.name == "main.m3u8" => Err("it is not found".to_owned()),
            // Its rendition is gone, or the part never came to be.
            Answer::NotFound => {
                player.forget();
                player.next_at = self.now + Duration::from_millis(self.dice.within(0, 300));
                Ok(())
            }
            Answer::BadRequest(reason) if ask.honest => Err(reason.to_string()),
            Answer::BadRequest(_) => Ok(()),
            Answer::Unavailable => {
                let waited = self.now.since(ask.arrived);
                self.report.late += 1;
                player.forget();
                match waited < TARGET_MIN * WAIT_TARGETS_MAX {
                    true => Err(format!("it waited for {waited:?} only")),
                    false => Ok(()),
                }
            }
            Answer::Wait { .. } => Err("the hub passes on a wait".to_owned()),
        }
    }

    /// The text of a playlist, which its entity tag names.
    fn text(
        &mut self,
        session: SessionId,
        player: &Player,
        response: &Response,
    ) -> Result<String, String> {
        let tag = response.etag.as_ref().ok_or("no entity tag")?;
        let named = format!("{} {tag}", player.mount);
        let hash = self
            .shelf
            .note(session.shard(), &named, response.body.pieces())?;
        self.note(hash);
        String::from_utf8(response.body.pieces().concat()).map_err(|fault| fault.to_string())
    }

    fn take_multivariant(
        &mut self,
        session: SessionId,
        player: &mut Player,
        text: &str,
    ) -> Result<(), String> {
        let addresses = text
            .lines()
            .filter_map(|line| match line.split_once("URI=\"") {
                Some((_, rest)) => rest.split_once('"').map(|(address, _)| address),
                None => (!line.starts_with('#')).then_some(line),
            });
        let names = addresses.map(|address| address.rsplit('/').next().unwrap_or(address));
        let names: Vec<String> = names.map(str::to_owned).collect();
        if names.is_empty() {
            return Err(format!("nothing to play in {text}"));
        }
        for name in &names {
            self.check_named(session, player, name)?;
        }
        player.forget();
        player.name = Some(self.dice.pick(&names).clone());
        Ok(())
    }

    /// What is named may have to be waited for, and is never unknown.
    fn check_named(
        &mut self,
        session: SessionId,
        player: &Player,
        name: &str,
    ) -> Result<(), String> {
        let ask = Ask::new(name, String::new(), self.now, true);
        match self.ask(session, player, &ask)? {
            Watched::Answer(Answer::Ready(_)) => Ok(()),
            Watched::Wait(waiter) => {
                let hub = &mut self.nodes[session.shard().index()].hub;
                hub.stop_waiting(&player.mount, waiter);
                Ok(())
            }
            other => Err(format!("{name} is named and answered with {other:?}")),
        }
    }

    fn take_list(
        &mut self,
        session: SessionId,
        player: &mut Player,
        ask: &Ask,
        list: List,
    ) -> Result<(), String> {
        let playlist = (player.mount.to_string(), ask.name.clone());
        self.shelf.note_list(session.shard(), &playlist, &list)?;
        let directives = ask.directives();
        if let Some(msn) = directives.msn
            && !list.ended
            && !list.has(msn, directives.part)
        {
            return Err("what was asked for is not in it".to_owned());
        }
        self.check_files(session, player, &list)?;
        player.list_at = self.now;
        if list.ended {
            player.forget();
            player.next_at = self.now + Duration::from_millis(self.dice.within(500, 4_000));
            return Ok(());
        }
        if list.skipped.is_none() {
            player.list = Some(list);
            return Ok(());
        }
        // One who has a list of another life must ask for all of it.
        let whole = self.ask_at_once(session, player, &ask.without_skip())?;
        let full = List::parse(&self.text(session, player, &whole)?)?;
        let kept = list.first_msn + list.skipped.unwrap_or(0);
        // So must one whose list is too old by now, after a stall.
        let fits = |had: &mut List| had.epoch() == list.epoch() && had.edge().0 >= kept;
        if let Some(had) = player.list.take_if(fits) {
            Shelf::expand(&had, &list, &full)?;
            self.report.deltas += 1;
            player.list = Some(full);
        } else {
            player.list = None;
        }
        Ok(())
    }

    /// All that is listed is there, with the bytes that it always had.
    fn check_files(
        &mut self,
        session: SessionId,
        player: &Player,
        list: &List,
    ) -> Result<(), String> {
        let shard = session.shard();
        if let Some(name) = &list.hint {
            self.check_named(session, player, name)?;
        }
        let all = self.dice.chance(10);
        for file in list.files() {
            let address = format!("{}/{file}", player.mount);
            let is_init = file.ends_with(".mp4");
            if !all && !is_init && self.shelf.knows(shard, &address) {
                continue;
            }
            let ask = Ask::new(file, String::new(), self.now, true);
            let response = self.ask_at_once(session, player, &ask)?;
            self.shelf.note(shard, &address, response.body.pieces())?;
        }
        Ok(())
    }

    /// What must hold after every step.
    pub(crate) fn check_players(&mut self) -> Result<(), String> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        for node in &self.nodes {
            let (held, counted) = (node.hub.holdings().waiting, node.hub.counts().hls_waiting);
            if held as u64 != counted {
                return Err(format!("{held} requests wait, {counted} are counted"));
            }
        }
        let waits = |player: &Player| {
            let ask = player.ask.as_ref()?;
            (ask.waiter.is_some() && !ask.again).then(|| ask.clone())
        };
        let waiting: Vec<(SessionId, Ask)> = self
            .players
            .iter()
            .filter_map(|(session, player)| Some((*session, waits(player)?)))
            .collect();
        for (session, ask) in waiting {
            let (mount, target_s) = match self.players.get(&session) {
                Some(player) => (
                    player.mount.clone(),
                    player.list.as_ref().map(|l| l.target_s),
                ),
                None => continue,
            };
            let node = &self.nodes[session.shard().index()];
            if node.stalled_until > self.now {
                continue;
            }
            let target = Duration::from_secs(target_s.unwrap_or(0).max(4));
            let stalled = Duration::from_millis(node.stalled_ms - ask.stalled_ms);
            let waited = self.now.since(ask.arrived);
            if waited > target * WAIT_TARGETS_MAX + HOME_ANSWER_MAX + stalled + ROUND_MAX {
                return Err(format!(
                    "{session} of {mount} waits for {waited:?}: {ask:?}"
                ));
            }
            if self.dice.chance(10) {
                self.check_wait(session, &ask)?;
            }
        }
        Ok(())
    }

    /// Nobody waits for what is there.
    fn check_wait(&mut self, session: SessionId, ask: &Ask) -> Result<(), String> {
        let Some(player) = self.players.remove(&session) else {
            return Ok(());
        };
        let watched = self.ask(session, &player, ask)?;
        let mount = player.mount.clone();
        self.players.insert(session, player);
        match watched {
            Watched::Wait(waiter) => {
                let hub = &mut self.nodes[session.shard().index()].hub;
                hub.stop_waiting(&mount, waiter);
                Ok(())
            }
            other => Err(format!(
                "{session} of {mount} was not told: {ask:?} {other:?}"
            )),
        }
    }

    /// How long a shard did not run before `now`, for those who wait there.
    pub(crate) fn note_round(&mut self, index: usize, now: Time) {
        let node = &mut self.nodes[index];
        let since = now.since(std::mem::replace(&mut node.ran_at, now));
        if since > ROUND_MAX / 2 {
            node.stalled_ms += since.as_millis() as u64;
        }
    }

    /// What must hold when everybody is gone: no shard holds anything of outputs or HLS.
    pub(crate) fn check_holdings(&self) -> Result<(), String> {
        for (index, node) in self.nodes.iter().enumerate() {
            let held = node.hub.holdings();
            let rest = held.outputs
                + held.packagers
                + held.watched
                + held.replicas
                + held.watches
                + held.waiting;
            if rest > 0 {
                return Err(format!("{} keeps {held:?}", ShardId(index as u16).0));
            }
        }
        Ok(())
    }
}
