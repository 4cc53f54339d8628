"""Models of the hub, downloaded from a server that speaks its protocol."""

import contextlib

import pytest

from fake_hub import offline, serving, unreachable, used
from rekindle.models.directory import ModelError
from rekindle.models.policy import Policy
from rekindle.models.sources import located
from rekindle.warm_starts.tiny_model import build_tiny

NAME = "someone/tiny-model"


@pytest.fixture
def hub():
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch, hub):
    """An empty cache, and a working directory without models."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with used(hub, tmp_path / "cache", monkeypatch):
        yield tmp_path


@pytest.fixture
def pushed(hub, tmp_path):
    def push(seed=0):
        directory = tmp_path / f"model-{seed}"
        build_tiny(layers=1, hidden_size=16, heads=2, kv_heads=1, intermediate_size=16, seed=seed).save(directory)
        (directory / "README.md").write_text("not downloaded")
        (directory / "pytorch_model.bin").write_bytes(b"not downloaded either")
        return hub.push(NAME, directory)

    return push


def find(path=NAME, revision=None):
    said = []
    return located(path, revision, said.append), said


def test_a_name_is_downloaded_once_and_pinned(hub, pushed):
    commit = pushed()
    source, said = find()
    assert (source.commit, said) == (commit, [f"downloading {NAME} ..."])
    directory = source.directory()
    assert directory == source.ready
    assert {path.name for path in directory.iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert not {"README.md", "pytorch_model.bin"} & {path.name for path in directory.iterdir()}
    assert source.parameters == Policy.load(directory, device="cpu").parameter_count
    asked = len(hub.requests)
    again, said = find(revision=commit)
    assert (again.directory(), said) == (directory, [])
    assert len(hub.requests) == asked, "a commit that is in the cache needs no network"


def test_a_revision_that_moved_does_not_move_a_run_that_names_its_commit(pushed):
    first = pushed(0)
    before = find()[0].directory()
    second = pushed(1)
    assert first != second
    assert find(revision=first)[0].directory() == before
    newest = find()[0]
    assert newest.commit == second
    assert newest.directory() != before


def test_a_directory_of_the_same_name_wins(tmp_path, pushed, hub):
    pushed()
    build_tiny(layers=1, hidden_size=16, heads=2, kv_heads=1, intermediate_size=16).save(tmp_path / "work" / NAME)
    source, _ = find()
    assert (source.commit, str(source.directory())) == (None, NAME)
    assert hub.requests == []


def test_a_transfer_that_broke_off_is_completed_by_the_next_try(hub, pushed):
    pushed()
    hub.broken_after = 100
    with contextlib.suppress(ModelError):  # by version, the library tries again by itself
        find()
    assert find()[0].directory().is_dir()


def test_without_a_network_the_remedy_is_said_and_what_is_cached_is_used(pushed, monkeypatch):
    commit = pushed()
    directory = find()[0].directory()
    unreachable(monkeypatch)
    assert find(revision=commit)[0].directory() == directory
    assert find()[0].directory() == directory
    with pytest.raises(ModelError, match=r"the model a/b could not be downloaded from the hub .*check the network"):
        find("a/b")


def test_the_offline_switch_is_honoured(hub, pushed, monkeypatch):
    pushed()
    offline(monkeypatch)
    with pytest.raises(ModelError, match=f"{NAME} is not in the hub's cache, and HF_HUB_OFFLINE forbids a download"):
        find()
    assert hub.requests == []


@pytest.mark.parametrize(
    ("refusal", "name", "revision", "message"),
    [
        (None, "someone/else", None, "no directory someone/else here, and no model someone/else on the hub that you"),
        ((401, "RepoNotFound"), NAME, None, "for a private model, set HF_TOKEN, or log in with `hf auth login`"),
        ((403, "GatedRepo"), NAME, None, f"the model {NAME} on the hub is gated; accept its terms"),
        (None, NAME, "v9", f"the model {NAME} on the hub has no revision 'v9'; correct model.revision"),
        ((500, "Oops"), NAME, None, f"the model {NAME} could not be downloaded from the hub .*check the network"),
    ],
)
def test_models_that_cannot_be_had_get_one_sentence(hub, pushed, refusal, name, revision, message):
    pushed()
    if refusal:
        hub.refused[NAME] = refusal
    with pytest.raises(ModelError, match=message) as caught:
        find(name, revision)
    assert "\n" not in str(caught.value)


def test_a_token_opens_a_private_model(hub, pushed, monkeypatch):
    pushed()
    hub.refused[NAME], hub.token = (401, "RepoNotFound"), "hf_secret"
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert find()[0].directory().is_dir()


@pytest.mark.parametrize("path", ["models", "/nowhere/model", "a/b/c", "~/x"])
def test_other_names_are_no_names_of_the_hub(hub, path):
    with pytest.raises(ModelError, match=f"there is no model directory at {path}; .*or a name on the hub"):
        find(path)
    assert hub.requests == []


def test_a_revision_of_a_directory_is_refused(tmp_path):
    (tmp_path / "work" / "m").mkdir()
    with pytest.raises(ModelError, match=r"model\.revision = 'main' belongs to a model of the hub, and m is not"):
        find("m", "main")
