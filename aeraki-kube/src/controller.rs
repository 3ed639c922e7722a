//! From a source to subscribers: every change is translated and published, and refusals are told.

use std::sync::Arc;

use aeraki_xds::{Publisher, SnapshotError};
use tokio::sync::watch;

use crate::{
    translate::{Options, Rejection, RejectionKind, Translation, translate},
    world::World,
};

/// Publishes what worlds mean, and keeps the last good routes of whatever is refused.
#[derive(Debug)]
pub struct Controller {
    publisher: Publisher,
    options: Options,
    last: Translation,
}

impl Controller {
    /// Makes a controller that has published nothing yet.
    pub fn new(publisher: Publisher, options: Options) -> Self {
        Self { publisher, options, last: Translation::default() }
    }

    /// Publishes each world, the current one at once, until the source ends.
    ///
    /// New rejections are logged; `observer` is told what is in force after each change.
    pub async fn run(mut self, mut worlds: watch::Receiver<Arc<World>>, mut observer: impl FnMut(&Translation)) {
        loop {
            let world = Arc::clone(&worlds.borrow_and_update());
            let told = self.last.rejections.clone();
            match self.apply(&world) {
                Ok(translation) => {
                    translation.rejections.iter().filter(|rejection| !told.contains(rejection)).for_each(log);
                    observer(translation);
                }
                Err(error) => tracing::error!("{error}; nothing is published"),
            }
            if worlds.changed().await.is_err() {
                return;
            }
        }
    }

    /// Translates and publishes one world; returns what is in force now. What is no longer guarded by an authorization
    /// policy is logged.
    ///
    /// # Errors
    ///
    /// Names the resource that cannot be encoded; what was published before stays.
    pub fn apply(&mut self, world: &World) -> Result<&Translation, SnapshotError> {
        let mut translation = translate(world, &self.options);
        translation.keep(&self.last);
        let snapshot = translation.to_snapshot(self.publisher.current())?;
        self.publisher.publish(snapshot);
        translation.lost_policies(&self.last).iter().for_each(|lost| tracing::warn!("{lost}"));
        self.last = translation;
        Ok(&self.last)
    }
}

fn log(rejection: &Rejection) {
    match rejection.kind {
        RejectionKind::Invalid => tracing::error!("{rejection}; the last good state stays"),
        RejectionKind::Conflict | RejectionKind::Ineffective => tracing::warn!("{rejection}"),
    }
}

#[cfg(test)]
mod tests {
    use aeraki_xds::type_url;

    use super::*;
    use crate::{
        crd::MetaRouterSpec,
        istio::{Port, ServiceEntrySpec},
        object::Object,
        world::{AnyObject, DEFAULT_DOMAIN},
    };

    fn world(router: Option<MetaRouterSpec>) -> Arc<World> {
        let port = Port { number: 9090, name: "tcp-metaprotocol-thrift".into(), ..Port::default() };
        let service = ServiceEntrySpec { hosts: vec!["calc.example".into()], ports: vec![port], ..Default::default() };
        let service = AnyObject::ServiceEntry(Object::new("rpc", "calc", service));
        let router = router.map(|spec| AnyObject::MetaRouter(Object::new("rpc", "calc", spec)));
        Arc::new(World::new([service].into_iter().chain(router), DEFAULT_DOMAIN))
    }

    #[tokio::test]
    async fn publishes_what_is_good_and_keeps_it_when_it_turns_bad() {
        let publisher = Publisher::new();
        let (worlds, seen) = watch::channel(world(None));
        let (tell, mut told) = watch::channel(Vec::new());
        let controller = Controller::new(publisher.clone(), Options::default());
        let running = tokio::spawn(controller.run(seen, move |translation| {
            tell.send_replace(translation.rejections.clone());
        }));
        told.changed().await.expect("told");
        let good = publisher.current().expect("published");
        assert!(good.get(type_url::ROUTE, "calc.example_9090").is_some());

        let bad = MetaRouterSpec { hosts: vec!["calc.example".into()], ..MetaRouterSpec::default() };
        worlds.send_replace(world(Some(bad)));
        told.wait_for(|rejections| !rejections.is_empty()).await.expect("told");
        let kept = publisher.current().expect("published");
        assert_eq!(kept.version(type_url::ROUTE), good.version(type_url::ROUTE));
        assert_eq!(kept.encoded(), 0);

        drop(worlds);
        running.await.expect("ends with its source");
    }
}
