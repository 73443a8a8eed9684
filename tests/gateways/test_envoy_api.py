"""docs/gateways/envoy.yaml by Envoy's own API: every member is one that Envoy knows, of the type that it wants, down into the
extensions. Read as Envoy reads it, by protocol buffers' JSON mapping, which takes no unknown member."""
import copy
import pathlib
import re
import subprocess

import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

import gateway_support as support

API = pathlib.Path(__file__).parent / "node_modules" / "@grpc" / "grpc-js-xds" / "deps"
EXTENSION = "envoy.extensions."
FILES = [
    "envoy/config/bootstrap/v3/bootstrap.proto",
    "envoy/extensions/filters/http/ext_authz/v3/ext_authz.proto",
    "envoy/extensions/filters/http/router/v3/router.proto",
    "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto",
    "envoy/extensions/http/early_header_mutation/header_mutation/v3/header_mutation.proto",
]


def rules_for(place):
    """The package's copy of the validation rules lacks a member that its copy of the API uses; what is validated is not looked at here."""
    text = (API / "protoc-gen-validate" / "validate" / "validate.proto").read_text(encoding="utf-8")

    def with_member(message):
        body = message.group(0)
        if "ignore_empty" in body or message.group(1) == "FieldRules":
            return body
        return body.rstrip()[:-1] + "    optional bool ignore_empty = 900;\n}\n"
    text = re.sub(r"^message (\w+Rules) \{\n.*?^\}\n", with_member, text, flags=re.M | re.S)
    (place / "validate").mkdir()
    (place / "validate" / "validate.proto").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    place = tmp_path_factory.mktemp("envoy")
    rules_for(place)
    folders = [API / "envoy-api", API / "xds", API / "googleapis", place, pathlib.Path("/usr/include")]
    done = subprocess.run(["protoc", *(f"-I{f}" for f in folders), "--include_imports", f"--descriptor_set_out={place / 'api.pb'}", *FILES],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString((place / "api.pb").read_bytes()).file:
        pool.Add(file)
    return pool


def message(pool, name):
    return message_factory.MessageFactory(pool).GetPrototype(pool.FindMessageTypeByName(name))()


def read(pool, document):
    return json_format.ParseDict(document, message(pool, "envoy.config.bootstrap.v3.Bootstrap"), descriptor_pool=pool)


def unpack(pool, any_, name):
    inner = message(pool, EXTENSION + name)
    assert any_.Unpack(inner), any_.type_url
    return inner


@pytest.fixture(scope="module")
def document():
    return yaml.safe_load((support.CONFIGURATIONS / "envoy.yaml").read_text(encoding="utf-8"))


def test_envoy_knows_every_member(pool, document):
    listener = read(pool, document).static_resources.listeners[0]
    manager = unpack(pool, listener.filter_chains[0].filters[0].typed_config,
                     "filters.network.http_connection_manager.v3.HttpConnectionManager")
    # What the configuration stands on, by the names of the API itself.
    assert manager.use_remote_address.value and not manager.merge_slashes and not manager.normalize_path.value
    assert manager.common_http_protocol_options.headers_with_underscores_action == 2, "DROP_HEADER"
    assert manager.path_with_escaped_slashes_action == 1, "KEEP_UNCHANGED"
    mutation = unpack(pool, manager.early_header_mutation_extensions[0].typed_config,
                      "http.early_header_mutation.header_mutation.v3.HeaderMutation")
    assert {m.remove for m in mutation.mutations} == {f"x-keystile-{n.lower()}" for n in support.IDENTITY}
    authz, router = manager.http_filters
    unpack(pool, router.typed_config, "filters.http.router.v3.Router")
    ext = unpack(pool, authz.typed_config, "filters.http.ext_authz.v3.ExtAuthz")
    assert ext.http_service.path_prefix == "/v1/authorize" and not ext.failure_mode_allow and ext.status_on_error.code == 503
    assert ext.http_service.server_uri.timeout.seconds == 2
    assert [p.prefix for p in ext.http_service.authorization_response.allowed_upstream_headers.patterns] == ["x-keystile-"]


def test_a_member_that_envoy_does_not_know_is_found(pool, document):
    def authz(d):
        return d["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"][0]["typed_config"]
    for name, value in (("failure_mode_allowed", False), ("http_service", {"path_prefixes": "/"}), ("status_on_error", {"code": "Nothing"}),
                        ("failure_mode_allow", "no"), ("@type", "type.googleapis.com/envoy.extensions.nothing.v3.Nothing")):
        wrong = copy.deepcopy(document)
        authz(wrong)[name] = value
        with pytest.raises((json_format.ParseError, TypeError, KeyError)):
            read(pool, wrong)
