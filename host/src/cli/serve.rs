//! `pointsman serve`: from the configuration to open listeners, and the way out.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::admin::Admin;
use crate::app::{self, App};
use crate::audit::Audit;
use crate::config::{Config, Listen, Source, TlsConfig};
use crate::generation::Generation;
use crate::keys::Keyring;
use crate::ledger::Ledger;
use crate::load::{Gate, Side};
use crate::plugins::Engine;
use crate::reload::{self, Reloader};
use crate::reports::{Problem, Trigger};
use crate::server::{self, Inherited, Times, Tls, data::Data};
use crate::telemetry::Meter;

use super::out;
use super::take_over::{self, Begin, Leaving, Predecessor};

/// Operators' requests are short.
const ADMIN_DRAIN: Duration = Duration::from_secs(1);

/// For streams to say that they end here.
const FAREWELL: Duration = Duration::from_millis(200);

/// How it ended.
enum Ended {
    /// With a ledger to be closed.
    Stopped(Ledger),
    /// Another process was to take over, and has ended before it served.
    Back(Box<(Config, Begin)>),
}

/// Serves until it is told to stop, or another process takes over; gives the ledger to be closed.
pub(super) async fn run(named: Option<&Path>, take_over: bool) -> Result<Ledger, String> {
    let source = Source::find(named).map_err(|error| error.to_string())?;
    let mut config = source.load().map_err(|error| error.to_string())?;
    let mut begin = match take_over {
        true => Begin::after(Predecessor::of(&config).await?, &config)?,
        false => Begin::alone(&config)?,
    };
    loop {
        match serve(&source, config, begin).await? {
            Ended::Stopped(ledger) => return Ok(ledger),
            Ended::Back(again) => (config, begin) = *again,
        }
    }
}

async fn serve(source: &Source, config: Config, begin: Begin) -> Result<Ended, String> {
    let engine =
        Engine::new(&config.plugins.engine(&config.store)).map_err(|error| format!("the plugin engine: {error:#}"))?;
    let meter = Meter::default();
    let Begin {
        lock,
        listeners,
        open,
        leaving,
    } = begin;
    let ledger = super::ledger::open(&config, &meter)?;
    let app = App::new(engine, meter, ledger);
    app::kept::restore(&app.state, &app.ledger, crate::store::now_ms())
        .map_err(|error| format!("the store in {}: {error}", config.store.display()))?;
    let vault = Arc::new(super::keys::vault(&config.store));
    vault
        .begin(&app.keys)
        .map_err(|error| format!("the keys of the store: {error}"))?;
    let _ = app.vault.set(vault.clone());
    let (server_config, admin_config) = (config.server.clone(), config.admin.clone());
    let (store, sweep, last) = (config.store.clone(), config.reload.sweep, config.clone());
    let [data_tls, admin_tls] = encryption(&config)?;
    let gate = Gate::new(&server_config.load, admin_config.connections, app.meter.load.clone());
    let _ = app.gate.set(gate.clone());
    let [data, admin] = match listeners {
        Some(listeners) => listeners,
        None => {
            let data = Listen::Address(server_config.listen);
            Inherited::find().or_bind(&data, &admin_config.listen).await?
        }
    };
    // The file that was found is the file that is watched: should it go, the last good configuration stays.
    let reloader = first(app.clone(), source.path.as_deref(), config).await?;
    reloader
        .start()
        .map_err(|error| format!("cannot start the reload thread: {error}"))?;
    app.keys
        .follow(vault)
        .map_err(|error| format!("cannot start the thread that looks for keys: {error}"))?;
    // Before anybody can know that the process is up, and send it one.
    let mut signals = Signals::listen()?;
    let urls = (data.url(data_tls.is_some())?, admin.url(admin_tls.is_some())?);
    announce(&app, source, &urls.0, &urls.1)?;
    // Nothing can go wrong any more that would leave nobody to serve.
    let following = open
        .map(|open| take_over::follow(open, app.ledger.clone()))
        .transpose()?;
    let is_local = admin.is_local();
    if !is_local && !app.keys.operators().is_required() {
        tracing::warn!(
            "the admin listener is not on loopback, and there is no token: it answers probes and nothing else"
        );
    }
    for tls in [&data_tls, &admin_tls].into_iter().flatten() {
        tokio::spawn(tls.clone().follow(sweep));
    }

    let (stop, stopped) = watch::channel(None);
    let (admin_stop, admin_stopped) = watch::channel(None);
    let times = Times {
        head: server_config.head,
        idle: server_config.idle,
        stall: server_config.stall,
    };
    let [data, admin] = [data, admin].map(Arc::new);
    let successor = take_over::successor(&store, &data, &admin);
    tokio::spawn(gate.clone().watch());
    tokio::spawn(app::kept::write_on(app.state.clone(), Ledger::clone(&app.ledger)));
    let clients = Arc::new(Data { app: app.clone() });
    let serving = tokio::spawn(server::serve(
        data,
        data_tls,
        (gate.clone(), Side::Clients),
        clients,
        stopped,
        times,
    ));
    let operators = Arc::new(Admin {
        app: app.clone(),
        is_local,
        audit: Audit::of(&store),
    });
    let admin = tokio::spawn(server::serve(
        admin,
        admin_tls,
        (gate.clone(), Side::Operators),
        operators,
        admin_stopped,
        times,
    ));
    let asked = tokio::select! {
        () = signals.end(&app) => None,
        asked = successor => Some(asked),
    };
    app.begin_drain();
    let is_left = asked.is_some();
    let mut is_cut = false;
    match asked {
        None => {
            tracing::info!("stopping: requests under way may end");
            let _ = stop.send(Some(server_config.drain));
            // The store is this process's own to its end.
            std::mem::forget(lock);
        }
        Some((link, listeners)) => {
            tracing::info!("another process takes over: requests under way may end");
            let _ = stop.send(Some(take_over::DRAIN));
            let _ = admin_stop.send(Some(ADMIN_DRAIN));
            let kept = take_over::leave(&app, &gate, (lock, link, listeners), &store).await;
            let is_served = tokio::select! {
                is_served = app.ledger.confirmed() => is_served,
                () = signals.end(&app) => {
                    is_cut = true;
                    true
                }
            };
            if !is_served {
                tracing::error!("the process that was to take over has ended before it served; this one goes on");
                let mut leaving = leaving;
                leaving.push(Leaving::of(app.clone(), async move {
                    let _ = tokio::join!(serving, admin);
                    ended(following).await;
                }));
                let config = app.generation().map_or(last, |generation| generation.config.clone());
                let again = take_over::take_back(&app, &config, kept, leaving).await?;
                return Ok(Ended::Back(Box::new((config, again))));
            }
        }
    };
    let cut = async {
        if !is_cut {
            signals.end(&app).await;
        }
        tracing::warn!("stopping at once");
        let _ = app.cut.send_replace(true);
        tokio::time::sleep(FAREWELL).await;
    };
    let is_cut = tokio::select! {
        _ = serving => false,
        () = cut => true,
    };
    // Last, so that it can be asked about the draining.
    let _ = admin_stop.send(Some(ADMIN_DRAIN));
    let _ = admin.await;
    let has_left_before = !leaving.is_empty();
    if !is_left || is_cut {
        for leaving in leaving {
            leaving.cut(FAREWELL).await;
        }
    }
    if is_left || has_left_before {
        // What came before knows no other way to the ledger than through this process.
        ended(following).await;
    }
    app::kept::write(&app.state, &app.ledger);
    Ok(Ended::Stopped(match is_left {
        true => Ledger::off(),
        false => Ledger::clone(&app.ledger),
    }))
}

/// Waits until a thread has ended.
async fn ended(thread: Option<JoinHandle<()>>) {
    if let Some(thread) = thread {
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }
}

/// What the listeners are encrypted with: that of clients, and that of operators.
pub(super) fn encryption(config: &Config) -> Result<[Option<Arc<Tls>>; 2], String> {
    let open = |name: &str, files: &Option<TlsConfig>| {
        let opened = files.as_ref().map(Tls::open).transpose();
        opened.map_err(|reason| format!("{name}: {reason}"))
    };
    Ok([
        open("server.tls", &config.server.tls)?,
        open("admin.tls", &config.admin.tls)?,
    ])
}

/// Plugins are compiled on a thread where that may take its time.
async fn first(app: Arc<App>, named: Option<&Path>, config: crate::config::Config) -> Result<Reloader, String> {
    let named = named.map(Path::to_owned);
    let loading = tokio::task::spawn_blocking(move || Reloader::first(app, named, config));
    let loaded = loading.await.map_err(|error| format!("loading failed: {error}"))?;
    loaded.map_err(|problems| lines(&problems))
}

fn lines(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| format!("{}: {}", problem.plugin, problem.message))
        .collect::<Vec<_>>()
        .join("\n")
}

/// A generation for commands that serve nothing, and what there is to warn of.
pub(super) async fn load(config: crate::config::Config) -> Result<(Arc<Generation>, Vec<String>), String> {
    let engine =
        Engine::new(&config.plugins.engine(&config.store)).map_err(|error| format!("the plugin engine: {error:#}"))?;
    let app = App::new(engine, Meter::default(), Ledger::off());
    let loading = app.clone();
    let loading = tokio::task::spawn_blocking(move || reload::once(&loading, &config));
    let warnings = loading
        .await
        .map_err(|error| format!("loading failed: {error}"))?
        .map_err(|problems| lines(&problems))?;
    let generation = app.generation().ok_or_else(|| "nothing was loaded".to_owned())?;
    Ok((generation, warnings))
}

/// What listens where, what is served, and a line to paste.
fn announce(app: &App, source: &Source, data: &str, admin: &str) -> Result<(), String> {
    let Some(generation) = app.generation() else {
        return Err("nothing is in service".to_owned());
    };
    let mut text = format!(
        "pointsman {} with {}\ndata listening on {data}\nadmin listening on {admin}\n{}\n{}",
        env!("CARGO_PKG_VERSION"),
        source.name(),
        keys(&app.keys.ring()),
        overview(&generation),
    );
    let model = generation
        .routes
        .keys()
        .chain(generation.models.keys())
        .next()
        .map_or("auto", String::as_str);
    let key = match app.keys.ring().is_required() {
        true => " -H \"authorization: Bearer $POINTSMAN_KEY\"",
        false => "",
    };
    text.push_str(&format!(
        "try it:\n  curl -s {data}/v1/chat/completions -H 'content-type: application/json'{key} \\\n    \
         -d '{{\"model\": \"{model}\", \"messages\": [{{\"role\": \"user\", \"content\": \"Hello\"}}]}}'\n"
    ));
    out::write(format_args!("{text}"));
    Ok(())
}

/// Who may call.
fn keys(ring: &Keyring) -> String {
    if !ring.is_required() {
        return "keys: none required, until one is declared or made (`pointsman keys create`)".to_owned();
    }
    let (declared, stored) = ring.counts();
    format!("keys: required; {declared} in the configuration, {stored} in the store")
}

fn overview(generation: &Generation) -> String {
    let mut text = String::new();
    for route in generation.routes.values() {
        let candidates: Vec<&str> = route.candidates.iter().map(|(model, _)| model.id.as_str()).collect();
        let policies: Vec<String> = route
            .policies
            .iter()
            .map(|p| format!("{}@{}", p.policy.name(), p.policy.digest().short()))
            .collect();
        let policies = if policies.is_empty() {
            String::new()
        } else {
            format!("  by {}", policies.join(", "))
        };
        text.push_str(&format!("route {}: {}{policies}\n", route.name, candidates.join(", ")));
    }
    let models: Vec<&str> = generation.models.keys().map(String::as_str).collect();
    text.push_str(&format!("models: {}\n", models.join(", ")));
    text
}

/// The signals that the process hears, from the moment on that this is made.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> Result<Self, String> {
        let listen = |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Until the process is asked to end. SIGHUP asks for a reload instead.
    async fn end(&mut self, app: &App) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    if let Some(reloader) = app.reloader.get() {
                        reloader.ask(Trigger::Signal);
                    }
                }
            }
        }
    }
}
