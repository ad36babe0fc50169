//! Nodes that policies govern: where they are enforced, and where that is refused.

use super::cage::{caged, on, within};
use super::faults::{Cgroup, refused};
use super::net::{PATIENCE, build, connect};
use super::world::{NODES, World, pod};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// The database is what nodes open connections to, and what opens them, to one port.
const DATABASE: &str = "\
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: nodes}
spec:
  nodeSelector: {}
  ingress:
  - fromEndpoints: [{matchLabels: {app: db}}]
    toPorts: [{ports: [{port: '80', protocol: TCP}]}]
  egress:
  - toEndpoints: [{matchLabels: {app: db}}]
    toPorts: [{ports: [{port: '80', protocol: TCP}]}]
";

#[test]
fn a_node_is_not_attached_by_an_interface() {
    caged("hosts::a_node_is_not_attached_by_an_interface", || {
        build();
        let images = World::of_nodes(DATABASE).write(Path::new("/run/netns/images"));
        // Whom an image does not know yet may be a pod: it is closed, and stays so.
        let web = ["attach", "--interface", "veth-web", "--pod", "node/n1"];
        on("n1", &web).must(1);
        let loaded = on("n1", &["load", &images.of("n1"), "--format", "json"]).must(1);
        let warning = &loaded.json()["warnings"][0];
        assert_eq!(warning["code"], "V0806", "{warning}");
        let said = warning["message"].as_str().unwrap();
        let why = "it is the node itself, which is not behind an interface";
        assert!(said.contains(why), "{said}");
        on("n1", &["detach", "veth-web"]).must(0);
        let words = "`node/n1` is the node itself, which is not attached by an interface";
        let uplink = ["attach", "--interface", "uplink", "--pod", "node/n1"];
        let address = ["attach", "--address", pod("web").v4, "--pod", "node/n1"];
        for arguments in [&web, &uplink, &address] {
            refused(on("n1", arguments), "V0805", words);
        }
        // Its own address leads nowhere else than those of other nodes.
        let (_, own, ..) = NODES[0];
        refused(on("n1", &["attach", "--address", own]), "V0805", "shares");
        let status = on("n1", &["status", "--format", "json"]).must(0).json();
        assert_eq!(status["attachments"].as_array().unwrap().len(), 0);
    });
}

#[test]
fn the_policies_of_a_node_hold_for_a_cgroup() {
    caged("hosts::the_policies_of_a_node_hold_for_a_cgroup", || {
        build();
        let Some(cgroup) = Cgroup::new() else { return };
        let images = World::of_nodes(DATABASE).write(Path::new("/run/netns/images"));
        let [own, other]: [IpAddr; 2] = [NODES[0].1, NODES[1].1].map(|text| text.parse().unwrap());
        let (db, spy) = (pod("db"), pod("spy"));
        let ports = [80, 8080];
        for (place, address) in [
            ("n2", other),
            (db.name, db.addresses()[0]),
            (spy.name, spy.addresses()[0]),
        ] {
            serve(within(place, || ports.map(|port| listen(address, port))));
        }
        serve(within("n1", || {
            cgroup.of(|| ports.map(|port| listen(own, port)))
        }));
        let quick = Duration::from_millis(300);
        let send = |to: IpAddr, port, patience| {
            within("n1", || {
                let to = SocketAddr::from((to, port));
                cgroup.of(|| TcpStream::connect_timeout(&to, patience).is_ok())
            })
        };
        let sends = |to, port| send(to, port, quick);
        let comes = |from, port| connect(from, own, port, quick).is_some();
        let all = || {
            let sent = [
                (db.addresses()[0], 80),
                (db.addresses()[0], 8080),
                (spy.addresses()[0], 80),
                (other, 80),
            ];
            let sent = sent.map(|(to, port)| sends(to, port));
            let come = [(db, 80), (db, 8080), (spy, 80)].map(|(from, port)| comes(from, port));
            (sent, come)
        };
        assert!(send(other, 80, PATIENCE));
        assert_eq!(all(), ([true; 4], [true; 3]));
        on("n1", &["load", &images.of("n1")]).must(0);
        assert_eq!(all(), ([true; 4], [true; 3]));
        on("n1", &["attach", "--cgroup", &cgroup.0]).must(0);
        assert_eq!(all(), ([true, false, false, false], [true, false, false]));
        on("n1", &["detach", &cgroup.0]).must(0);
        assert_eq!(all(), ([true; 4], [true; 3]));
        on("n1", &["unload", "--all"]).must(0);
    });
}

fn listen(address: IpAddr, port: u16) -> TcpListener {
    TcpListener::bind((address, port)).unwrap()
}

/// Sends back what comes, until the test ends.
fn serve(listeners: [TcpListener; 2]) {
    for listener in listeners {
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                super::net::echo(stream);
            }
        });
    }
}
