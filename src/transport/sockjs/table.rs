//! The sessions over HTTP of one service, by the ids that clients have chosen.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::over_http::OverHttp;
use super::session::Session;
use super::{Metrics, Settings};
use crate::lifecycle::Lifecycle;
use crate::sync::lock;
use crate::transport::{Kind, Transport};

/// Where requests find their session. It is as large as whoever lets sessions begin allows.
#[derive(Debug)]
pub struct Table {
    pub(super) settings: Settings,
    pub(super) metrics: Metrics,
    pub(super) lifecycle: Lifecycle,
    sessions: Mutex<HashMap<Box<str>, Arc<Session>>>,
}

/// What a request is about.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The session segment of its path, decoded.
    pub id: &'a str,
    /// The page that sends it, if it tells.
    pub origin: Option<&'a [u8]>,
}

/// What is known of an id.
#[derive(Debug)]
pub enum Found {
    /// There is one, of somebody else (S26).
    Foreign,
    Known(Arc<Session>),
    Unknown,
}

impl Table {
    pub fn new(settings: Settings, metrics: Metrics, lifecycle: Lifecycle) -> Self {
        Self { settings, metrics, lifecycle, sessions: Mutex::default() }
    }

    pub fn find(&self, asked: Asked<'_>) -> Found {
        let session = lock(&self.sessions).get(asked.id).map(Arc::clone);
        match session {
            None => Found::Unknown,
            Some(session) if session.lock().admits(asked.origin) => Found::Known(session),
            Some(_) => Found::Foreign,
        }
    }

    /// Makes a session for a client that is at `peer`. If somebody was faster there is none to make.
    pub fn open(self: &Arc<Self>, asked: Asked<'_>, peer: SocketAddr, kind: Kind) -> Option<(Arc<Session>, Transport)> {
        let id: Box<str> = asked.id.into();
        let mut sessions = lock(&self.sessions);
        if sessions.contains_key(&id) {
            return None;
        }
        let session = Arc::new(Session::new(self.settings, asked.origin.map(Bytes::copy_from_slice)));
        sessions.insert(id.clone(), Arc::clone(&session));
        drop(sessions);
        let transport = OverHttp::new(Arc::clone(self), id, Arc::clone(&session), peer, kind);
        Some((session, Transport::SockJsHttp(Box::new(transport))))
    }

    /// Frees the id, unless it is another session's already.
    pub(super) fn forget(&self, id: &str, session: &Arc<Session>) {
        let mut sessions = lock(&self.sessions);
        if sessions.get(id).is_some_and(|it| Arc::ptr_eq(it, session)) {
            sessions.remove(id);
        }
    }
}
