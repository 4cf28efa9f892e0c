"""The gateway's manifests, by themselves and beside those of streamdrift."""

import shutil
from os.path import relpath
from pathlib import Path

import pytest
import yaml

from streamdrift.config import load_settings
from tests.manifests import FOLDER, Manifest, build, check_schemas

Built = tuple[Manifest, ...]
KINDS = {
    "ConfigMap",
    "Deployment",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "PodMonitor",
    "Service",
    "ServiceAccount",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Return the example's manifests with the gateway in it: an overlay as one would write it."""
    overlay = tmp_path_factory.mktemp("overlay")
    shutil.copytree(FOLDER / "example", overlay, dirs_exist_ok=True)
    kustomization = yaml.safe_load((overlay / "kustomization.yaml").read_text())
    kustomization["resources"].append("../gateway")
    kustomization["components"].append("../components/prometheus-operator-gateway")
    for key in ("resources", "components"):
        places = [FOLDER / "example" / each for each in kustomization[key]]
        kustomization[key] = [relpath(place.resolve(), overlay) for place in places]
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return build(overlay)


def the(built: Built, kind: str, name: str = "streamdrift-gateway") -> Manifest:
    (found,) = (each for each in built if each["kind"] == kind and each["metadata"]["name"] == name)
    return found


def others(built: Built) -> Manifest:
    """Return the template of streamdrift's own pods."""
    template: Manifest = the(built, "StatefulSet", "streamdrift")["spec"]["template"]
    return template


def pod(built: Built) -> Manifest:
    template: Manifest = the(built, "Deployment")["spec"]["template"]
    return template


def container(built: Built) -> Manifest:
    (only,) = pod(built)["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def test_manifests_keep_to_the_schemas_of_kubernetes(built: Built) -> None:
    check_schemas(built)


def test_it_stands_alone_too() -> None:
    alone = build(FOLDER / "gateway")
    check_schemas(alone)
    assert {each["kind"] for each in alone} == KINDS - {"PodMonitor"}


def test_selectors_find_the_gateway_or_streamdrift_and_never_both(built: Built) -> None:
    gateway = pod(built)["metadata"]["labels"].items()
    streamdrift = others(built)["metadata"]["labels"].items()
    mine = {each["kind"] for each in built if "-gateway" in each["metadata"]["name"]}
    assert mine == KINDS
    for manifest in built:
        spec = manifest.get("spec", {})
        selector = spec.get("podSelector", spec.get("selector"))
        if selector is not None:
            labels = selector.get("matchLabels", selector).items()
            found = (labels <= gateway, labels <= streamdrift)
            assert found == (
                (True, False) if "-gateway" in manifest["metadata"]["name"] else (False, True)
            )


def test_ports_that_are_named_are_there(built: Built) -> None:
    (port,) = container(built)["ports"]
    probes = [container(built)[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")]
    assert {probe["httpGet"]["port"] for probe in probes} == {port["name"]}
    (served,) = the(built, "Service")["spec"]["ports"]
    (ingress,) = the(built, "NetworkPolicy")["spec"]["ingress"]
    (end,) = the(built, "PodMonitor")["spec"]["podMetricsEndpoints"]
    assert served["targetPort"] == ingress["ports"][0]["port"] == end["port"] == port["name"]


def test_one_may_go_while_others_take_what_is_posted(built: Built) -> None:
    spec = the(built, "Deployment")["spec"]
    assert spec["replicas"] >= 2
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert the(built, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    (spread,) = pod(built)["spec"]["topologySpreadConstraints"]
    assert (
        spread["labelSelector"]["matchLabels"].items() <= pod(built)["metadata"]["labels"].items()
    )


def test_pods_have_no_more_rights_than_those_of_streamdrift(built: Built) -> None:
    spec, model = pod(built)["spec"], others(built)["spec"]
    for key in ("securityContext", "automountServiceAccountToken"):
        assert spec[key] == model[key]
    assert not the(built, "ServiceAccount", spec["serviceAccountName"])[
        "automountServiceAccountToken"
    ]
    (its,) = model["containers"]
    assert container(built)["securityContext"] == its["securityContext"]
    assert container(built)["image"] == its["image"]
    assert container(built)["resources"]["requests"].keys() == {"cpu", "memory"}
    writable = {each["mountPath"] for each in container(built)["volumeMounts"] if len(each) == 2}
    assert writable == {"/tmp"}


def test_it_reaches_names_and_brokers_as_streamdrift_does(built: Built) -> None:
    own = the(built, "NetworkPolicy")["spec"]["egress"]
    model = the(built, "NetworkPolicy", "streamdrift")["spec"]["egress"]
    assert own == [rule for rule in model if "to" not in rule]


def test_the_settings_can_be_loaded(built: Built, tmp_path: Path) -> None:
    """With the secrets' files, of which one is the gateway's own."""
    volumes = {each["name"]: each for each in pod(built)["spec"]["volumes"]}
    mounts = {each["name"]: each["mountPath"] for each in container(built)["volumeMounts"]}
    assert mounts.keys() == volumes.keys()
    settings = the(built, "ConfigMap", volumes["settings"]["configMap"]["name"])
    secrets = {each["secret"]["name"] for each in volumes["secrets"]["projected"]["sources"]}
    token = the(built, "PodMonitor")["spec"]["podMetricsEndpoints"][0]["authorization"]
    assert secrets == {"streamdrift-kafka", token["credentials"]["name"]}
    for file in ("kafka-password", "ca.crt", token["credentials"]["key"]):
        (tmp_path / file).write_text("a-secret" * 3)
    command, _, place = container(built)["args"]
    assert (command, place) == ("gateway", f"{mounts['settings']}/streamdrift.yaml")
    text = settings["data"]["streamdrift.yaml"].replace(mounts["secrets"], str(tmp_path))
    (tmp_path / "streamdrift.yaml").write_text(text)
    loaded = load_settings(tmp_path / "streamdrift.yaml", environment={})
    assert loaded.gateway.secret() == "a-secret" * 3
    (port,) = container(built)["ports"]
    assert loaded.gateway.address() == ("0.0.0.0", port["containerPort"])
    slept = int(container(built)["lifecycle"]["preStop"]["exec"]["command"][1])
    patience = pod(built)["spec"]["terminationGracePeriodSeconds"] - slept
    assert patience * 1e6 > loaded.shutdown_timeout


def test_it_is_a_job_of_its_own_that_the_rules_find(built: Built) -> None:
    label = the(built, "PodMonitor")["spec"]["jobLabel"]
    assert pod(built)["metadata"]["labels"][label] == "streamdrift-gateway"
