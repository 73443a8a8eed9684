"""keystile sources: by the command line, with a running service and without."""
from hooks import SECRET, github, json, keystile, service


def test_the_life_of_a_source(tmp_path):
    parameters = tmp_path / "parameters.json"
    parameters.write_text(json.dumps({"secrets": [SECRET]}))
    with service() as hooks:
        data = hooks.daemon.data

        def sources(*words, code=0):
            done = keystile.run("sources", *words, data=data)
            assert done.code == code, done
            assert SECRET not in done.out + done.err
            return done

        made = sources("create", "--tenant", hooks.tenant, "--platform", "github", "--name", "n", "--parameters", parameters, "--json").json
        source = made["id"]
        assert hooks.send(source, b"{}", github(b"{}")).status == 200
        assert source in sources("list").out and source in sources("list", "--tenant", hooks.tenant, "--json").out
        assert sources("show", source, "--json").json["warnings"] == ["no_timestamp"]
        [line] = sources("messages", source, "--json").json["items"]
        assert line["id"] in sources("messages", source).out
        assert sources("message", source, line["id"], "--json").json["body_base64"] == "e30="
        assert sources("pause", source, "--json").json["status"] == "paused"
        assert sources("resume", source, "--json").json["status"] == "active"
        parameters.write_text(json.dumps({"secrets": ["another"]}))
        assert len(sources("rotate", source, "--parameters", parameters, "--overlap", "60", "--json").json["versions"]) == 2
        assert sources("confirm", source, "--json").json["fetched"] is None
        assert sources("delete", source, "--json").json["status"] == "deleted"
        sources("show", source, code=1)
        sources("create", "--name", "n", code=2)
        parameters.write_text("[]")
        sources("create", "--tenant", hooks.tenant, "--platform", "github", "--name", "n", "--parameters", parameters, code=1)


def test_without_a_service(tmp_path):
    (tmp_path / "parameters.json").write_text(json.dumps({"secrets": [SECRET]}))
    with keystile.temporary_data() as data:
        keystile.init(data)
        tenant = keystile.run("tenants", "create", "--kind", "organization", "--name", "Acme", "--json", data=data).json["id"]
        made = keystile.run("sources", "create", "--tenant", tenant, "--platform", "github", "--name", "n", "--parameters",
                            tmp_path / "parameters.json", "--json", data=data).json
        with keystile.Daemon(data) as daemon:
            client = daemon.client()
            assert client.call("POST", f"/hooks/{made['id']}", b"{}", github(b"{}")).status == 200
