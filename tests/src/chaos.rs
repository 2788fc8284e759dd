//! A proxy in front of a provider, for what a provider cannot do to itself: connections that are refused or reset, that trickle,
//! fall silent, end in the middle, or carry something that is no HTTP at all. The weather may change at any time.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Nothing happens to them.
    Clear,
    /// New ones are reset as soon as they are there, and those that are open as well.
    Dead,
    /// What the provider says is held back for so long.
    Delay(Duration),
    /// What the provider says comes byte by byte, with so long between two.
    Trickle(Duration),
    /// After so many bytes of the provider's the connection ends in this way.
    Cut(usize, Cut),
    /// What the provider says is replaced by something that is no HTTP.
    Garbage,
    /// Every other connection is reset.
    Flapping,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// In good order.
    Close,
    /// By a reset.
    Reset,
    /// Nothing more is said, though what the other side says is still read.
    HalfClose,
    /// Nothing more comes, and it stays open.
    Hang,
}

/// The proxy; it is gone when this is dropped, with all its connections.
#[derive(Debug)]
pub struct Chaos {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    _accepting: JoinSet<()>,
}

impl Chaos {
    /// In front of this address.
    pub async fn before(provider: SocketAddr) -> Chaos {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("no port for the proxy");
        let address = listener.local_addr().expect("the proxy has no address");
        let (weather, seen) = watch::channel(Weather::Clear);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, provider, seen));
        Chaos {
            address,
            weather,
            _accepting: accepting,
        }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

/// An address that does not even refuse connections: what nobody accepts fills the system's queue, and then it answers no more, as
/// behind a network that loses everything.
#[derive(Debug)]
pub struct Silent {
    address: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Silent {
    /// At a port of its own.
    pub async fn start() -> Silent {
        let socket = TcpSocket::new_v4().expect("no socket");
        socket
            .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .expect("no port for the silent one");
        let listener = socket.listen(1).expect("the socket does not listen");
        let address = listener.local_addr().expect("the socket has no address");
        let mut waiting = Vec::new();
        let patience = Duration::from_millis(500);
        while let Ok(connected) = tokio::time::timeout(patience, TcpStream::connect(address)).await {
            waiting.push(connected.expect("a connection was refused"));
            assert!(waiting.len() < 100, "the system takes connections that nobody accepts");
        }
        Silent {
            address,
            _listener: listener,
            _waiting: waiting,
        }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn accept(listener: TcpListener, provider: SocketAddr, weather: watch::Receiver<Weather>) {
    let mut connections = JoinSet::new();
    for number in 0_usize.. {
        let Ok((client, _)) = listener.accept().await else {
            return;
        };
        while connections.try_join_next().is_some() {}
        let now = *weather.borrow();
        if now == Weather::Dead || now == Weather::Flapping && number % 2 == 0 {
            reset(&client);
            continue;
        }
        connections.spawn(serve(client, provider, weather.clone()));
    }
}

/// Closing it will be a reset.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

async fn serve(client: TcpStream, provider: SocketAddr, mut weather: watch::Receiver<Weather>) {
    let Ok(upstream) = TcpStream::connect(provider).await else {
        return reset(&client);
    };
    let _ = (client.set_nodelay(true), upstream.set_nodelay(true));
    let (mut from_client, to_client) = client.into_split();
    let (from_upstream, mut to_upstream) = upstream.into_split();
    let seen = weather.clone();
    let forth = tokio::io::copy(&mut from_client, &mut to_upstream);
    let mut answer = Answer {
        from: from_upstream,
        to: to_client,
        said: 0,
        weather: seen,
    };
    let is_dead = tokio::select! {
        // A client that has left takes the provider's side along.
        _ = forth => false,
        is_reset = answer.relay() => is_reset,
        _ = weather.wait_for(|weather| *weather == Weather::Dead) => true,
    };
    if is_dead {
        reset(answer.to.as_ref());
    }
}

/// What the provider says, on its way.
struct Answer {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    said: usize,
    weather: watch::Receiver<Weather>,
}

impl Answer {
    /// Relays until there is nothing more to say; whether that is to be a reset.
    async fn relay(&mut self) -> bool {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let Ok(count @ 1..) = self.from.read(&mut buffer).await else {
                return false;
            };
            let weather = *self.weather.borrow();
            let piece = &buffer[..count];
            let is_sent = match weather {
                Weather::Clear | Weather::Dead | Weather::Flapping => self.to.write_all(piece).await.is_ok(),
                Weather::Delay(pause) => {
                    tokio::time::sleep(pause).await;
                    self.to.write_all(piece).await.is_ok()
                }
                Weather::Trickle(pause) => trickle(&mut self.to, piece, pause).await,
                Weather::Garbage => self.to.write_all(b"\x00\xff this is no HTTP \r\n\r\n").await.is_ok(),
                Weather::Cut(most, cut) => {
                    let left = most.saturating_sub(self.said).min(count);
                    let is_sent = self.to.write_all(&piece[..left]).await.is_ok();
                    if left < count {
                        return self.end(cut).await;
                    }
                    is_sent
                }
            };
            self.said += count;
            if !is_sent {
                return false;
            }
        }
    }

    async fn end(&mut self, cut: Cut) -> bool {
        match cut {
            Cut::Close => false,
            Cut::Reset => true,
            Cut::HalfClose => {
                let _ = self.to.shutdown().await;
                std::future::pending().await
            }
            Cut::Hang => std::future::pending().await,
        }
    }
}

async fn trickle(to: &mut OwnedWriteHalf, piece: &[u8], pause: Duration) -> bool {
    for byte in piece.chunks(1) {
        if to.write_all(byte).await.is_err() {
            return false;
        }
        tokio::time::sleep(pause).await;
    }
    true
}
