"""What a process has around it: packages, processors, memory, GPUs."""

from __future__ import annotations

from importlib.metadata import distributions

import pytest

from branchline.metadata.machine import gpu_documents, machine_document
from branchline.metadata.packages import installed_packages


def put(root, path, text=""):
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return place


# ── packages ──────────────────────────────────────────────────────────────────────────────────────
def test_packages(tmp_path):
    """
    Packages are told by the names of their folders, in one spelling; what comes first on the path is in force.
    """
    for folder in (
        *("a/numpy-2.1.0.dist-info", "a/Zope.Interface-7.0.dist-info", "a/ruamel_yaml-0.18.6.dist-info"),
        *("a/old-1.0-py3.11.egg-info", "a/torch-2.4.0+cu121.dist-info", "a/pkg-1!2.0rc1.post1.dist-info"),
        *("a/numpy", "a/broken.dist-info", "a/-1.0.dist-info", "b/numpy-1.0.dist-info", "b/only-3.dist-info"),
    ):
        (tmp_path / folder).mkdir(parents=True)

    assert installed_packages([str(tmp_path / "a"), "/nowhere", str(tmp_path / "b")]) == {
        "numpy": "2.1.0",
        "old": "1.0",
        "only": "3",
        "pkg": "1!2.0rc1.post1",
        "ruamel-yaml": "0.18.6",
        "torch": "2.4.0+cu121",
        "zope-interface": "7.0",
    }


def test_packages_here():
    """
    What the names of folders say is what the packages say of themselves.
    """
    import sys

    said = {each.name.lower().replace("_", "-").replace(".", "-"): each.version for each in distributions()}
    assert installed_packages(sys.path) == dict(sorted(said.items()))


# ── the machine ───────────────────────────────────────────────────────────────────────────────────
def test_machine(tmp_path):
    """
    Of a machine there is the model of its processor, and what a container leaves of it.
    """
    put(tmp_path, "proc/cpuinfo", "processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz\n")
    put(tmp_path, "sys/fs/cgroup/cpu.max", "150000 100000\n")
    put(tmp_path, "sys/fs/cgroup/memory.max", "1073741824\n")

    found = machine_document(tmp_path)
    assert (found["cpu_model"], found["cpu_limit"], found["memory_limit_bytes"]) == ("Fast CPU @ 3 GHz", 1.5, 2**30)
    assert found["memory_bytes"] > 0


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("sys/fs/cgroup/cpu.max", "max 100000"),
        ("sys/fs/cgroup/cpu.max", "nonsense"),
        ("sys/fs/cgroup/memory.max", "max"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712"),
    ],
)
def test_no_limits(tmp_path, path, text):
    """
    Where there is no limit, none is told.
    """
    put(tmp_path, path, text)

    assert not {"cpu_limit", "memory_limit_bytes"} & set(machine_document(tmp_path))


def test_gpus_that_a_driver_tells_of(tmp_path, monkeypatch):
    """
    GPUs are what the driver's own program says.
    """
    put(tmp_path, "proc/driver/nvidia/version", "x")
    program = put(
        tmp_path,
        "bin/nvidia-smi",
        "#!/bin/sh\necho 'NVIDIA A100-SXM4, 40GB, 40960, 550.54'\necho 'L4, [N/A], 550.54'\n",
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")

    assert gpu_documents(tmp_path) == [
        {"name": "NVIDIA A100-SXM4, 40GB", "memory_bytes": 40 * 2**30, "driver": "550.54"},
        {"name": "L4", "driver": "550.54"},
    ]


@pytest.mark.parametrize("program", ["", "#!/bin/sh\nexit 9\n", "#!/bin/sh\necho '\xff'\n"])
def test_gpus_without_the_program(tmp_path, monkeypatch, program):
    """
    Where the program is not there or fails, the files of the driver say which GPUs there are.
    """
    put(tmp_path, "proc/driver/nvidia/gpus/0000:00:04.0/information", "Model: \t\t Tesla T4\nIRQ: 1\n")
    (tmp_path / "bin").mkdir()
    if program:
        put(tmp_path, "bin/nvidia-smi", program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    assert gpu_documents(tmp_path) == [{"name": "Tesla T4"}]


def test_other_gpus(tmp_path):
    """
    AMD's are told by the kernel; another card is none.
    """
    put(tmp_path, "sys/class/drm/card0/device/vendor", "0x1002")
    put(tmp_path, "sys/class/drm/card0/device/mem_info_vram_total", str(2**34))
    put(tmp_path, "sys/class/drm/card1/device/vendor", "0x8086")

    assert gpu_documents(tmp_path) == [{"name": "AMD", "memory_bytes": 2**34}]


def test_no_driver_no_program(tmp_path, monkeypatch):
    """
    Where no driver is loaded, no program is asked.
    """
    program = put(tmp_path, "bin/nvidia-smi", f"#!/bin/sh\ntouch {tmp_path}/asked\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")

    assert gpu_documents(tmp_path) == []
    assert not (tmp_path / "asked").exists()
