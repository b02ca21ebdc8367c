//! Questions and announcements on plain subjects of NATS, which keeps nothing of them.

use async_nats::client::RequestErrorKind;
use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::{mpsc, oneshot};

use super::{NatsBus, unavailable};
use crate::bus::talk::ROOM;
use crate::bus::{Error, Question, Talk, Topic, Whom};

fn question_subject(whom: Whom) -> String {
    match whom {
        Whom::Driver => "vtp.ask.driver".to_owned(),
        Whom::Session(session) => format!("vtp.ask.session.{session}"),
    }
}

fn topic_subject(topic: Topic) -> String {
    match topic {
        Topic::EndedOf(session) => format!("vtp.tell.session.{session}"),
        Topic::Ended(job) => format!("vtp.tell.ended.{job}"),
        Topic::Progress(job) => format!("vtp.tell.progress.{job}"),
    }
}

impl NatsBus {
    /// What comes on `subject` from now on. The server hears of it before anything that is said on this connection later, but
    /// perhaps after what others say at this moment.
    async fn hear(&self, subject: String) -> Result<Subscriber, Error> {
        let subscriber = self.client.subscribe(subject).await.map_err(unavailable)?;
        self.client.flush().await.map_err(unavailable)?;
        Ok(subscriber)
    }
}

impl Talk for NatsBus {
    async fn ask(&self, whom: Whom, question: Bytes) -> Result<Bytes, Error> {
        match self.client.request(question_subject(whom), question).await {
            Ok(message) => Ok(message.payload),
            Err(error) if error.kind() == RequestErrorKind::NoResponders => {
                Err(Error::Unavailable("nobody is there to answer".to_owned()))
            }
            Err(error) => Err(unavailable(error)),
        }
    }

    async fn questions(&self, whom: Whom) -> Result<mpsc::Receiver<Question>, Error> {
        let mut asked = self.hear(question_subject(whom)).await?;
        let (sender, receiver) = mpsc::channel(ROOM);
        let client = self.client.clone();
        tokio::spawn(async move {
            loop {
                let message = tokio::select! {
                    message = asked.next() => message,
                    () = sender.closed() => None,
                };
                let Some(message) = message else { return };
                let Some(to) = message.reply else { continue };
                let (reply, answer) = oneshot::channel();
                tokio::spawn(answered(client.clone(), to, answer));
                if sender.send(Question { bytes: message.payload, reply }).await.is_err() {
                    return;
                }
            }
        });
        Ok(receiver)
    }

    async fn announce(&self, topic: Topic, words: Bytes) -> Result<(), Error> {
        self.client.publish(topic_subject(topic), words).await.map_err(unavailable)
    }

    async fn listen(&self, topic: Topic) -> Result<mpsc::Receiver<Bytes>, Error> {
        let mut heard = self.hear(topic_subject(topic)).await?;
        let (sender, receiver) = mpsc::channel(ROOM);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    message = heard.next() => match message {
                        // Whoever does not keep up loses it.
                        Some(message) => drop(sender.try_send(message.payload)),
                        None => return,
                    },
                    () = sender.closed() => return,
                }
            }
        });
        Ok(receiver)
    }
}

async fn answered(client: Client, to: async_nats::Subject, answer: oneshot::Receiver<Bytes>) {
    let Ok(answer) = answer.await else { return };
    if let Err(error) = client.publish(to, answer).await {
        tracing::debug!(%error, "an answer is lost, and will be asked for again");
    }
}
