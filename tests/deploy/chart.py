"""The Helm chart: linted, rendered with several values, and read as Kubernetes would read it."""

import importlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from homeport.api.health import LIVENESS_PATH, READINESS_PATH
from homeport.app import METRICS_PATH
from homeport.settings import PREFIX, Settings, load

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/homeport"
HELM = ROOT / ".cache/deploy/helm"
KUBERNETES = ("1.27", "1.34", "1.37")

SECRETS = {"database_url": "postgresql://hub:a<b>&c@db/hub", "admin_password": 'a "quoted\\ password'}
PAGE = (ROOT / "docs/operations/install.md").read_text()
[VALUES_OF_THE_PAGE] = re.findall(r"^```yaml\n# values.yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SETTINGS = {"blob_url": "s3://blobs/hub", "trusted_proxies": ["10.0.0.0/8", "192.0.2.1"], "drain_timeout": 60}
CLUSTER = {
    "cluster": {"enabled": True},
    "settings": SETTINGS,
    "secretSettings": SECRETS,
}
VALUES: dict[str, dict[str, Any]] = {
    "as it stands": {},
    "one pod with an address": {
        "ingress": {"enabled": True, "hosts": ["hub.example.com"], "tlsSecret": "hub-tls", "className": "nginx"},
        "settings": {"blob_size_limit": 68719476736, "plans": {"team": {"members": 25}}, "sign_up": True},
        "persistence": {"existingClaim": "somebody-s"},
        "networkPolicy": {"enabled": True},
    },
    "cluster": CLUSTER,
    "cluster that grows": {
        **CLUSTER,
        "fullnameOverride": "homeport",
        "autoscaling": {"enabled": True, "minReplicas": 3},
        "ingress": {"enabled": True, "hosts": ["hub.example.com", "www.example.com"]},
        "networkPolicy": {"enabled": True, "from": [{"podSelector": {}}], "egress": [{"to": [{"podSelector": {}}]}]},
        "settings": {**SETTINGS, "metrics_networks": ["10.42.0.0/16"], "drain_delay": 7},
        "monitors": {"enabled": True, "labels": {"release": "prometheus"}},
        "podLabels": {"team": "platform"},
        "podAnnotations": {"example.com/a": "b"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "nodeSelector": {"disk": "fast"},
        "priorityClassName": "high",
        "image": {"repository": "example.com/homeport", "tag": "2", "pullSecrets": ["pulls"]},
        "extraEnv": [{"name": "AWS_REGION", "value": "eu-central-1"}],
    },
    "as the page has it": yaml.safe_load(VALUES_OF_THE_PAGE),
    "cluster with what is there already": {
        "cluster": {"enabled": True, "servers": 1, "workers": 3},
        "existingSecret": "hub-secret",
        "serviceAccount": {"create": False, "name": "hub"},
    },
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no database": ({"cluster": {"enabled": True}, "settings": {"blob_url": "s3://b"}}, "database_url"),
    "no bucket": ({"cluster": {"enabled": True}, "secretSettings": SECRETS}, "blob_url"),
    "two secrets": ({"existingSecret": "one", "secretSettings": SECRETS}, "exclude each other"),
    "pods that share SQLite": ({"autoscaling": {"enabled": True}}, "cluster.enabled"),
    "monitors that may not read": ({"monitors": {"enabled": True}}, "metrics_networks"),
    "no host": ({"ingress": {"enabled": True}}, "ingress.hosts"),
    "an unknown setting": ({"settings": {"prot": 1}}, "prot"),
    "a secret among the settings": ({"settings": {"database_url": "x"}}, "database_url"),
    "a setting of the chart": ({"settings": {"port": 9000}}, "port"),
    "a setting among the variables": ({"extraEnv": [{"name": "HOMEPORT_PORT", "value": "1"}]}, "extraEnv"),
    "a value that nobody reads": ({"replicas": 3}, "replicas"),
    "no servers": ({"cluster": {"enabled": True, "servers": 0}}, "servers"),
}


def helm(*arguments: str, values: dict[str, Any]) -> "subprocess.CompletedProcess[str]":
    command = [str(HELM), *arguments, "--kube-version", f"{KUBERNETES[-1]}.0", "--values", "-"]
    return subprocess.run(command, check=False, input=json.dumps(values), capture_output=True, text=True)


def rendered(values: dict[str, Any]) -> str:
    done = helm("template", "hub", str(CHART), "--namespace", "hubs", values=values)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Release:
    """What a chart makes of some values."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.objects: list[dict[str, Any]] = [found for found in yaml.safe_load_all(rendered(values)) if found]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [found for found in self.objects if found["kind"] == kind]

    def pods(self) -> dict[str, dict[str, Any]]:
        """Component → template of its pods."""
        holders = (*self.of("Deployment"), *self.of("Job"))
        return {
            holder["spec"]["template"]["metadata"]["labels"][COMPONENT]: holder["spec"]["template"]
            for holder in holders
        }

    def settings(self, component: str, tmp_path: Path) -> Settings:
        """What Homeport makes of a pod's variables and of its secret."""
        pod = self.pods()[component]["spec"]
        variables = {each["name"]: each["value"] for each in pod["containers"][0]["env"]}
        ours = {name: value for name, value in variables.items() if name.startswith(PREFIX)}
        if "HOMEPORT_CONFIG" in ours:
            file = tmp_path / "homeport.toml"
            file.write_text(self._secret(pod))
            ours["HOMEPORT_CONFIG"] = str(file)
        return load(ours)

    def _secret(self, pod: dict[str, Any]) -> str:
        [name] = [volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume]
        found = [each["stringData"]["homeport.toml"] for each in self.of("Secret") if each["metadata"]["name"] == name]
        # One that is there already says at least this.
        return str(found[0]) if found else 'database_url = "postgresql://db/hub"\nblob_url = "s3://blobs"\n'


COMPONENT = "app.kubernetes.io/component"


@pytest.fixture(scope="module", params=VALUES)
def release(request: pytest.FixtureRequest) -> Release:
    return Release(VALUES[request.param])


def test_each_set_of_values_is_without_a_blemish() -> None:
    for values in VALUES.values():
        done = helm("lint", "--strict", str(CHART), values=values)
        assert done.returncode == 0, done.stdout
        assert not re.findall("WARNING|ERROR", done.stdout)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused_with_a_word(name: str) -> None:
    values, word = REFUSED[name]
    done = helm("template", "hub", str(CHART), values=values)
    assert done.returncode != 0
    assert word in done.stderr


def test_kubernetes_knows_every_field(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / ".cache/deploy/python"))
    schemas = importlib.import_module("kubernetes_validate")
    for found in release.objects:
        if found["apiVersion"] == "monitoring.coreos.com/v1":
            continue  # of the Prometheus operator
        for version in KUBERNETES:
            schemas.validate(found, version, strict=True)


def test_an_upgrade_with_the_same_values_changes_nothing() -> None:
    # Nothing is made up at random, which a second rendering would make up anew.
    for name in ("one pod with an address", "cluster that grows"):
        assert rendered(VALUES[name]) == rendered(VALUES[name])


def test_objects_have_names_of_their_own(release: Release) -> None:
    names = [(found["kind"], found["metadata"]["name"]) for found in release.objects]
    assert len(set(names)) == len(names)


def test_nobody_in_a_pod_has_any_rights(release: Release) -> None:
    for component, template in release.pods().items():
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == user_of_the_image()
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        # Kubernetes would set HOMEPORT_PORT to a URL where a service has the name homeport.
        assert pod["enableServiceLinks"] is False
        [container] = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"memory"} <= set(container["resources"]["limits"]), component
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)


def test_a_pod_can_write_where_the_program_does_and_mounts_what_it_has(release: Release) -> None:
    for template in release.pods().values():
        [container] = template["spec"]["containers"]
        mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
        assert set(mounts) == {volume["name"] for volume in template["spec"]["volumes"]}
        assert {mounts["data"]["mountPath"], mounts["tmp"]["mountPath"]} == {"/data", "/tmp"}
        if "secret" in mounts:
            variables = {each["name"]: each["value"] for each in container["env"]}
            assert Path(variables["HOMEPORT_CONFIG"]).parent == Path(mounts["secret"]["mountPath"])


def test_settings_reach_the_program(release: Release, tmp_path: Path) -> None:
    for component in release.pods():
        found = release.settings(component, tmp_path)
        assert found.is_sqlite is (set(release.pods()) == {"server"})
        assert bool(found.blob_url) is not found.is_sqlite


def test_values_arrive_as_they_are(tmp_path: Path) -> None:
    one = Release(VALUES["one pod with an address"]).settings("server", tmp_path)
    assert (one.blob_size_limit, one.sign_up, one.plans.team.members) == (68719476736, True, 25)
    assert (one.public_url, one.jobs, one.migrate, one.port) == ("https://hub.example.com", True, True, 8000)
    server = Release(VALUES["cluster that grows"]).settings("server", tmp_path)
    assert (server.database_url, server.admin_password) == (SECRETS["database_url"], SECRETS["admin_password"])
    assert (str(server.trusted_proxies), server.jobs, server.migrate) == ("10.0.0.0/8,192.0.2.1/32", False, False)
    assert server.public_url == "http://hub.example.com"


def test_selectors_select_pods_of_one_kind(release: Release) -> None:
    labels = {component: template["metadata"]["labels"] for component, template in release.pods().items()}
    selectors = [(found, found["spec"]["selector"]["matchLabels"]) for found in release.of("Deployment")]
    selectors += [(found, found["spec"]["selector"]["matchLabels"]) for found in release.of("PodDisruptionBudget")]
    selectors += [(found, found["spec"]["podSelector"]["matchLabels"]) for found in release.of("NetworkPolicy")]
    selectors += [(found, found["spec"]["selector"]) for found in release.of("Service")]
    for found, selector in selectors:
        selected = [component for component, its in labels.items() if selector.items() <= its.items()]
        assert selected == [selector[COMPONENT]]
        # What may change in an upgrade cannot be selected by.
        assert not {"helm.sh/chart", "app.kubernetes.io/version"} & set(selector)
        assert found["metadata"]["labels"][COMPONENT] == selector[COMPONENT]
    for component, template in release.pods().items():
        for constraint in template["spec"]["topologySpreadConstraints"]:
            assert constraint["labelSelector"]["matchLabels"][COMPONENT] == component


def test_traffic_finds_its_way_to_a_server(release: Release) -> None:
    [server] = [found for found in release.of("Deployment") if found["metadata"]["labels"][COMPONENT] == "server"]
    [container] = server["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    variables = {each["name"]: each["value"] for each in container["env"]}
    assert ports == {"http": int(variables["HOMEPORT_PORT"])}
    [service] = release.of("Service")
    assert [port["targetPort"] for port in service["spec"]["ports"]] == ["http"]
    for ingress in release.of("Ingress"):
        assert ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"] == "0"
        for rule in ingress["spec"]["rules"]:
            [path] = rule["http"]["paths"]
            assert path["backend"]["service"] == {"name": service["metadata"]["name"], "port": {"name": "http"}}
    for policy in release.of("NetworkPolicy"):
        [pod] = [release.pods()[policy["metadata"]["labels"][COMPONENT]]["spec"]["containers"][0]]
        open_ports = [each["ports"][0]["port"] for each in policy["spec"]["ingress"]]
        assert open_ports == [port["name"] for port in pod.get("ports", ())]
        assert policy["spec"]["egress"]


def test_a_server_is_probed_and_ends_in_time(release: Release, tmp_path: Path) -> None:
    [container] = release.pods()["server"]["spec"]["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] == "http"
        assert container[probe]["httpGet"]["path"] in (LIVENESS_PATH, READINESS_PATH)
    # A dependency that is away is no reason to kill what depends on it.
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    sleep, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    assert sleep == "sleep"
    grace = release.pods()["server"]["spec"]["terminationGracePeriodSeconds"]
    found = release.settings("server", tmp_path)
    assert grace > int(seconds) + found.drain_delay + found.drain_timeout


def test_prometheus_is_told_of_every_pod_that_measures(tmp_path: Path) -> None:
    release = Release(VALUES["cluster that grows"])
    monitored = {}
    for monitor in release.of("PodMonitor"):
        component = monitor["spec"]["selector"]["matchLabels"][COMPONENT]
        [endpoint] = monitor["spec"]["podMetricsEndpoints"]
        [container] = release.pods()[component]["spec"]["containers"]
        [monitored[component]] = [p["containerPort"] for p in container["ports"] if p["name"] == endpoint["port"]]
        assert endpoint["path"] == METRICS_PATH
        assert monitor["metadata"]["labels"]["release"] == "prometheus"
        assert release.settings(component, tmp_path).metrics_networks
    worker = release.settings("worker", tmp_path)
    assert monitored == {"server": 8000, "worker": worker.metrics_port}
    [container] = release.pods()["worker"]["spec"]["containers"]
    assert container["livenessProbe"]["httpGet"] == {"path": LIVENESS_PATH, "port": "metrics"}
    assert not Release(VALUES["cluster"]).of("PodMonitor")


def test_a_hub_of_one_pod_never_has_two_of_them() -> None:
    for name in ("as it stands", "one pod with an address"):
        release = Release(VALUES[name])
        [deployment] = release.of("Deployment")
        assert deployment["spec"]["replicas"] == 1
        assert deployment["spec"]["strategy"] == {"type": "Recreate"}
        assert not [*release.of("PodDisruptionBudget"), *release.of("HorizontalPodAutoscaler"), *release.of("Job")]
        [volume] = [v for v in release.pods()["server"]["spec"]["volumes"] if v["name"] == "data"]
        claims = [claim["metadata"]["name"] for claim in release.of("PersistentVolumeClaim")]
        assert volume["persistentVolumeClaim"]["claimName"] in (claims or ["somebody-s"])
        for claim in release.of("PersistentVolumeClaim"):
            assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_a_cluster_may_lose_a_pod_and_not_all_of_them() -> None:
    sizes = {"cluster": 2, "cluster that grows": 3, "as the page has it": 3, "cluster with what is there already": 1}
    for name, servers in sizes.items():
        release = Release(VALUES[name])
        server = next(found for found in release.of("Deployment") if not found["metadata"]["name"].endswith("-worker"))
        scalers = release.of("HorizontalPodAutoscaler")
        # What a scaler scales has no number of its own, or every upgrade would set it back.
        assert server["spec"].get("replicas") == (None if scalers else servers)
        for scaler in scalers:
            assert scaler["spec"]["scaleTargetRef"]["name"] == server["metadata"]["name"]
            assert servers == scaler["spec"]["minReplicas"] <= scaler["spec"]["maxReplicas"]
        assert server["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        budgets = release.of("PodDisruptionBudget")
        assert len(budgets) == (servers > 1)
        assert all(budget["spec"]["maxUnavailable"] < servers for budget in budgets)
        assert not release.of("PersistentVolumeClaim")


def test_the_database_is_migrated_before_anything_else_is_there() -> None:
    for name in ("cluster", "cluster that grows", "cluster with what is there already"):
        release = Release(VALUES[name])
        [job] = release.of("Job")
        hooks = {
            (found["kind"], found["metadata"]["name"]): found["metadata"]["annotations"]
            for found in release.objects
            if "helm.sh/hook" in found["metadata"].get("annotations", {})
        }
        assert hooks[("Job", job["metadata"]["name"])]["helm.sh/hook"] == "pre-install,pre-upgrade"
        pod = job["spec"]["template"]["spec"]
        assert pod["containers"][0]["args"] == ["migrate"]
        # Whatever the job needs of the release comes before it, or was there before the release.
        [secret] = [volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume]
        if secret != VALUES[name].get("existingSecret"):
            its = hooks[("Secret", secret)]
            assert its["helm.sh/hook"] == "pre-install,pre-upgrade"
            assert int(its["helm.sh/hook-weight"]) < int(hooks[("Job", job["metadata"]["name"])]["helm.sh/hook-weight"])
        assert pod["serviceAccountName"] not in {found["metadata"]["name"] for found in release.of("ServiceAccount")}


def test_secrets_are_in_secrets_alone() -> None:
    release = Release(VALUES["cluster that grows"])
    for found in release.objects:
        text = msgspec.json.encode(found).decode()
        assert ("postgresql://" in text) is (found["kind"] == "Secret")
    assert "checksum/secret" in release.pods()["server"]["metadata"]["annotations"]


def user_of_the_image() -> int:
    [line] = re.findall(r"^USER (\d+):", (ROOT / "deploy/Containerfile").read_text(), re.MULTILINE)
    return int(line)
