"""What is known of the code that runs: its commit and branch, where it comes from, and what was changed since."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from branchline.metadata.git import code_document, without_user
from branchline.metadata.git_files import Head, head_of


SECRET = "ghp_0123456789abcdefghijABCDEFGHIJ012345"

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(*words, cwd=None):
    env = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        **{f"GIT_{who}_{what}": "x@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    ran = subprocess.run(["git", *words], cwd=cwd, env=env, capture_output=True, text=True, check=True)
    return ran.stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository of one commit, on branch `main`, which is also where we are."""
    place = tmp_path / "repository"
    place.mkdir()
    monkeypatch.chdir(place)
    git("init", "--quiet", "--initial-branch=main")
    Path("train.py").write_text("one\n")
    git("add", ".")
    git("commit", "--quiet", "--message=first")
    return place


def code(**env):
    """What there is to say of the code here."""
    head = head_of(Path.cwd())
    assert head is not None
    return code_document(head, {**os.environ, **env})


def test_clean(repository):
    """
    Weakness 2.3 (8): of a clean tree there is the commit and the branch.
    """
    assert code() == {"commit": git("rev-parse", "HEAD"), "branch": "main", "is_dirty": False}


def test_changed(repository):
    """
    What was changed in tracked files has a checksum, which is the same for the same change; a new file is none.
    """
    Path("new.py").write_text("new\n")
    untracked = code()
    Path("train.py").write_text("two\n")
    first, again = code(), code()
    Path("train.py").write_text("three\n")
    second = code()

    assert (untracked["is_dirty"], first["is_dirty"], first, second["is_dirty"]) == (False, True, again, True)
    assert first["patch_checksum"] != second["patch_checksum"]
    assert first["patch_checksum"].startswith("sha256:")
    assert first["patch_bytes"] > 0


def test_staged_and_binary(repository):
    """
    What is staged counts as what is not, and so does a file that is no text.
    """
    Path("train.py").write_bytes(b"\0binary one")
    git("add", ".")
    first = code()
    Path("train.py").write_bytes(b"\0binary two")

    assert first["is_dirty"]
    assert first["patch_checksum"] != code()["patch_checksum"]


def test_the_look_of_a_patch_does_not_matter(repository):
    """
    The checksum is that of the change, whatever somebody has configured for his eyes.
    """
    Path("train.py").write_text("two\n")
    plain = code()
    for setting in ("diff.noprefix=true", "color.diff=always", "diff.context=9", "diff.mnemonicPrefix=true"):
        git("config", *setting.split("="))

    assert code() == plain


@pytest.mark.parametrize(
    "arrange",
    [
        lambda: None,
        lambda: git("pack-refs", "--all"),
        lambda: git("checkout", "--quiet", "-b", "feature/deep/one"),
        lambda: git("checkout", "--quiet", "--detach"),
    ],
    ids=["loose", "packed", "branch", "detached"],
)
def test_the_files_say_what_git_says(repository, arrange):
    """
    Without running git, the commit and the branch are known from a repository's files.
    """
    arrange()
    branch = git("branch", "--show-current") or None
    folder = repository / "below"
    folder.mkdir()

    assert head_of(folder) == Head(root=repository, commit=git("rev-parse", "HEAD"), branch=branch)


def test_another_working_tree(repository, tmp_path):
    """
    A further working tree has a branch of its own.
    """
    git("worktree", "add", "--quiet", "-b", "other", str(tmp_path / "other"))

    head = head_of(tmp_path / "other")
    assert head == Head(root=tmp_path / "other", commit=git("rev-parse", "HEAD"), branch="other")


def test_no_commit_yet(tmp_path, monkeypatch):
    """
    A repository without a commit has a branch and no more.
    """
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet", "--initial-branch=main")

    assert code() == {"branch": "main", "unknown": "there is no commit yet"}


def test_no_repository(tmp_path):
    """
    Outside of any repository there is nothing.
    """
    assert head_of(tmp_path) is None


@pytest.mark.parametrize("text", ["", "ref: refs/heads/../../../etc/passwd", "ref: ", "nonsense", "\0\xff"])
def test_damaged(repository, text):
    """
    A damaged repository is no error.
    """
    (repository / ".git" / "HEAD").write_text(text)
    head = head_of(repository)

    assert (head and head.commit) is None
    assert "commit" not in code()


def test_no_git(repository):
    """
    Without git, the commit and the branch are known, and that nothing is known of changes.
    """
    commit = git("rev-parse", "HEAD")

    assert code(PATH="/nowhere") == {"commit": commit, "branch": "main", "unknown": "there is no git"}


@pytest.mark.parametrize("path", [".", "", "{repository}", "{repository}/bin"])
def test_a_git_that_the_repository_brings(repository, path):
    """
    A program called git that lies in the repository, or wherever we happen to be, is not run.
    """
    (repository / "bin").mkdir()
    for folder in (repository, repository / "bin"):
        fake = folder / "git"
        fake.write_text("#!/bin/sh\ntouch ran\n")
        fake.chmod(0o755)

    found = code(PATH=path.format(repository=repository))

    assert found["unknown"] == "there is no git"
    assert not Path("ran").exists()


def test_nobody_elses_program_is_run(repository):
    """
    No hook, pager, filter, text converter, external diff tool or file watcher of a configuration is run.
    """
    runs = "touch ran-{0}; cat"
    git("config", "core.fsmonitor", "touch ran-fsmonitor; false")
    git("config", "core.pager", runs.format("pager"))
    git("config", "diff.external", runs.format("external"))
    git("config", "diff.odd.command", runs.format("command"))
    git("config", "diff.odd.textconv", runs.format("textconv"))
    git("config", "filter.odd.clean", runs.format("clean"))
    git("config", "filter.odd.smudge", runs.format("smudge"))
    git("config", "filter.odd.required", "true")
    for hook in ("post-index-change", "pre-commit", "fsmonitor-watchman"):
        place = repository / ".git" / "hooks" / hook
        place.parent.mkdir(exist_ok=True)
        place.write_text(f"#!/bin/sh\ntouch {repository}/ran-{hook}\n")
        place.chmod(0o755)
    (repository / ".git" / "info" / "attributes").write_text("*.py diff=odd filter=odd\n")
    Path("train.py").write_text("two\n")
    for left in repository.glob("ran-*"):
        left.unlink()

    found = code()

    assert (found.get("unknown"), found["is_dirty"]) == (None, True)
    assert [path.name for path in repository.glob("ran-*")] == []


def test_a_filter_that_cannot_be_turned_off(repository):
    """
    Where a program of the repository could not be kept from running, nothing is looked at.
    """
    git("config", "filter.o=dd.clean", "touch ran; cat")
    Path(".git/info/attributes").write_text("*.py filter=o=dd\n")
    Path("train.py").write_text("two\n")

    assert code()["unknown"] == "a filter of this repository cannot be turned off"
    assert not Path("ran").exists()


def test_git_that_hangs(repository, tmp_path):
    """
    Git is not waited for longer than the time it has.
    """
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "git").write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    (slow / "git").chmod(0o755)
    head = head_of(repository)
    assert head is not None

    began = time.monotonic()
    found = code_document(head, {**os.environ, "PATH": str(slow)}, seconds=0.2)

    assert found["unknown"] == "git took too long"
    assert time.monotonic() - began < 30


def test_the_environment_does_not_lead_elsewhere(repository, tmp_path):
    """
    Inside of a git hook, variables name another repository: they are not followed.
    """
    other = tmp_path / "other"
    other.mkdir()
    git("init", "--quiet", cwd=other)

    assert code(GIT_DIR=str(other / ".git"), GIT_WORK_TREE=str(other))["is_dirty"] is False


# ── where it comes from ───────────────────────────────────────────────────────────────────────────
def test_remote(repository):
    """
    The remote is that of the branch, else `origin`, without whoever may read it.
    """
    git("remote", "add", "origin", f"https://ann:{SECRET}@example.org/team/project.git")
    first = code()["remote"]
    git("remote", "add", "fork", f"https://{SECRET}@example.org/ann/project.git")
    git("config", "branch.main.remote", "fork")

    assert (first, code()["remote"]) == (
        "https://example.org/team/project.git",
        "https://example.org/ann/project.git",
    )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.org/team/project.git", "https://example.org/team/project.git"),
        ("https://example.org:8443/a@b/c", "https://example.org:8443/a@b/c"),
        (f"https://ann:{SECRET}@example.org:8443/x", "https://example.org:8443/x"),
        (f"https://{SECRET}@example.org/x", "https://example.org/x"),
        ("https://ann:pa/ss@example.org/x", "https://example.org/x"),
        ("https://ann:p@ss@example.org/x", "https://example.org/x"),
        (f"https://example.org/x?token={SECRET}#f", "https://example.org/x"),
        ("ssh://git@example.org:22/x", "ssh://example.org:22/x"),
        ("git@example.org:team/project.git", "git@example.org:team/project.git"),
        ("ann:secret@example.org:project.git", "example.org:project.git"),
        ("/srv/git/project.git", "/srv/git/project.git"),
    ],
)
def test_without_user(url, expected):
    """
    Of a URL there stays where it leads to, and never who may go there.
    """
    assert without_user(url) == expected
