"""The Kubernetes manifests are valid, and what they name in one another is there."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from deploy.prometheus.metrics_page import DRIFT_RULES, read_rules
from streamdrift.config import load_settings
from tests.manifests import FOLDER, Manifest, build, check_schemas

ALL = ("base", "distributed", "example")
EACH = pytest.mark.parametrize("name", ALL)


@cache
def built(name: str) -> tuple[Manifest, ...]:
    return build(FOLDER / name)


def the(name: str, kind: str) -> Manifest:
    (found,) = (each for each in built(name) if each["kind"] == kind)
    return found


def workload(name: str) -> Manifest:
    (found,) = (each for each in built(name) if each["kind"] in ("Deployment", "StatefulSet"))
    return found


def pod(name: str) -> Manifest:
    template: Manifest = workload(name)["spec"]["template"]
    return template


def container(name: str) -> Manifest:
    (only,) = pod(name)["spec"]["containers"]
    assert isinstance(only, dict)
    return only


@EACH
def test_manifests_keep_to_the_schemas_of_kubernetes(name: str) -> None:
    check_schemas(built(name))


@EACH
def test_each_selector_finds_the_pods(name: str) -> None:
    labels = pod(name)["metadata"]["labels"].items()
    found = dict(_selectors(name))
    assert set(found) >= {"Service", "NetworkPolicy", workload(name)["kind"]}
    for kind, selector in found.items():
        assert selector, kind
        assert selector.items() <= labels, kind


def _selectors(name: str) -> Iterator[tuple[str, Manifest]]:
    for manifest in built(name):
        spec = manifest.get("spec", {})
        if manifest["kind"] == "NetworkPolicy":
            yield "NetworkPolicy", spec["podSelector"]["matchLabels"]
        elif "selector" in spec:
            yield manifest["kind"], spec["selector"].get("matchLabels", spec["selector"])


@EACH
def test_all_are_one_application(name: str) -> None:
    for manifest in built(name):
        assert manifest["metadata"]["labels"]["app.kubernetes.io/name"] == "streamdrift"


@EACH
def test_ports_that_are_named_are_there(name: str) -> None:
    (port,) = container(name)["ports"]
    probes = [container(name)[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")]
    assert {probe["httpGet"]["port"] for probe in probes} == {port["name"]}
    assert the(name, "Service")["spec"]["ports"][0]["targetPort"] == port["name"]
    (ingress,) = the(name, "NetworkPolicy")["spec"]["ingress"]
    assert ingress["ports"][0]["port"] == port["name"]
    others = [
        each["podSelector"]["matchLabels"] for each in ingress["from"] if "podSelector" in each
    ]
    assert others == [pod(name)["metadata"]["labels"]]
    if name == "example":
        (end,) = the(name, "PodMonitor")["spec"]["podMetricsEndpoints"]
        assert (end["port"], end["path"]) == (port["name"], "/metrics")
        token = end["authorization"]["credentials"]
        assert token["name"] in _secrets(name)
        assert token["key"] in the(name, "ConfigMap")["data"]["streamdrift.yaml"]


@EACH
def test_names_are_found_wherever_they_are_asked_for(name: str) -> None:
    """A cache on the node has the host's address; OpenShift's pods listen on 5353."""
    anywhere = {
        (port["port"], port["protocol"])
        for rule in the(name, "NetworkPolicy")["spec"]["egress"]
        if "to" not in rule
        for port in rule["ports"]
    }
    assert anywhere >= {(53, "UDP"), (53, "TCP"), (5353, "UDP"), (5353, "TCP")}


@EACH
def test_volumes_that_are_mounted_are_there(name: str) -> None:
    volumes = {volume["name"]: volume for volume in pod(name)["spec"]["volumes"]}
    mounts = container(name)["volumeMounts"]
    assert {mount["name"] for mount in mounts} == set(volumes)
    # One inside another that is read-only could not be made.
    paths = [mount["mountPath"] for mount in mounts]
    assert not any(a != b and b.startswith(f"{a}/") for a in paths for b in paths)
    writable = {mount["mountPath"] for mount in mounts if not mount.get("readOnly")}
    assert writable == {"/tmp"}
    assert volumes["settings"]["configMap"]["name"] == the(name, "ConfigMap")["metadata"]["name"]


@EACH
def test_pods_have_no_rights(name: str) -> None:
    spec, only = pod(name)["spec"], container(name)
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == 10001
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not spec["automountServiceAccountToken"]
    assert spec["serviceAccountName"] == the(name, "ServiceAccount")["metadata"]["name"]
    assert only["resources"]["requests"].keys() == {"cpu", "memory"}
    assert re.fullmatch(r"registry\.example\.com/.+:\d+\.\d+\.\d+", only["image"])


@EACH
def test_the_settings_can_be_loaded(name: str, tmp_path: Path) -> None:
    """With the secret's files, whose names must be those that the settings name."""
    text = the(name, "ConfigMap")["data"]["streamdrift.yaml"]
    mounts = {each["name"]: each["mountPath"] for each in container(name)["volumeMounts"]}
    for file in ("kafka-password", "ca.crt", "http-token"):
        (tmp_path / file).write_text("a secret".replace(" ", "-") * 3)
        assert f"{mounts['secrets']}/{file}" in text
    (tmp_path / "settings.yaml").write_text(text.replace(mounts["secrets"], str(tmp_path)))
    assert container(name)["args"][-1] == f"{mounts['settings']}/streamdrift.yaml"
    environment = {each["name"]: each.get("value", "pod-0") for each in container(name)["env"]}
    settings = load_settings(tmp_path / "settings.yaml", environment=environment)
    assert settings.instance == "pod-0"
    assert settings.mode == ("standalone" if name == "base" else "distributed")
    (port,) = container(name)["ports"]
    assert settings.http.address() == ("0.0.0.0", port["containerPort"])
    assert pod(name)["spec"]["terminationGracePeriodSeconds"] * 1e6 > settings.shutdown_timeout


def test_one_process_is_replaced_before_the_next_starts() -> None:
    assert workload("base")["kind"] == "Deployment"
    assert workload("base")["spec"]["strategy"] == {"type": "Recreate"}
    assert workload("base")["spec"]["replicas"] == 1


def test_workers_are_named_after_their_pods() -> None:
    assert workload("distributed")["kind"] == "StatefulSet"
    spec = workload("distributed")["spec"]
    assert spec["serviceName"] == the("distributed", "Service")["metadata"]["name"]
    assert the("distributed", "Service")["spec"]["clusterIP"] == "None"
    assert spec["replicas"] == 2
    assert the("distributed", "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    (instance,) = (
        e for e in container("distributed")["env"] if e["name"] == "STREAMDRIFT_INSTANCE"
    )
    assert instance["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"


@pytest.mark.parametrize("name", ["distributed", "example"])
def test_other_settings_or_another_image_mix_no_workers(name: str) -> None:
    assert workload(name)["spec"]["updateStrategy"] == {"type": "OnDelete"}


def test_workers_are_scaled_by_the_lag_of_their_groups() -> None:
    scaled, target = the("example", "ScaledObject")["spec"], workload("example")
    assert scaled["scaleTargetRef"]["kind"] == target["kind"] == "StatefulSet"
    assert scaled["scaleTargetRef"]["name"] == target["metadata"]["name"]
    assert "replicas" not in target["spec"], "KEDA says how many"
    text = the("example", "ConfigMap")["data"]["streamdrift.yaml"]
    settings = yaml.safe_load(text)
    inputs = {(t["metadata"]["consumerGroup"], t["metadata"]["topic"]) for t in scaled["triggers"]}
    assert inputs == {
        ("streamdrift", "predictions"),
        ("streamdrift.detect", "streamdrift.exchange"),
    }
    login = the("example", "TriggerAuthentication")
    for trigger in scaled["triggers"]:
        assert trigger["type"] == "kafka"
        assert trigger["authenticationRef"]["name"] == login["metadata"]["name"]
        assert trigger["metadata"]["bootstrapServers"] == settings["kafka"]["bootstrap_servers"]
    named = {each["name"] for each in login["spec"]["secretTargetRef"]}
    assert named < _secrets("example")


def _secrets(name: str) -> set[str]:
    (volume,) = (each for each in pod(name)["spec"]["volumes"] if each["name"] == "secrets")
    return {source["secret"]["name"] for source in volume["projected"]["sources"]}


def test_the_operator_has_the_rules_and_the_job_that_they_expect() -> None:
    rules = [each["spec"] for each in built("example") if each["kind"] == "PrometheusRule"]
    assert rules == [read_rules(), read_rules(DRIFT_RULES)]
    label = the("example", "PodMonitor")["spec"]["jobLabel"]
    assert pod("example")["metadata"]["labels"][label] == "streamdrift"


def test_of_drift_one_tells_people_and_not_two() -> None:
    """Who copies the example and lets streamdrift page leaves the component out."""
    settings = yaml.safe_load((FOLDER / "example" / "streamdrift.yaml").read_text())
    tells = not {"alertmanager", "webhook", "notify"}.isdisjoint(settings.get("alerts", {}))
    overlay = yaml.safe_load((FOLDER / "example" / "kustomization.yaml").read_text())
    assert ("../components/drift-rule" in overlay["components"]) is not tells


def test_an_overlay_changes_what_it_says() -> None:
    assert {each["metadata"]["namespace"] for each in built("example")} == {"drift"}
    assert container("example")["image"] == "registry.example.com/ml/streamdrift:0.1.0"
    assert container("example")["resources"]["limits"]["memory"] == "2Gi"
    assert "fraud" in the("example", "ConfigMap")["data"]["streamdrift.yaml"]
