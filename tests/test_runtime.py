"""Where a program runs: a set of facts, told by variables, files, and modules that the program has imported."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest

from branchline.metadata import detect_runtime


def facts(env=None, modules=None, root=None):
    return set(detect_runtime(env or {}, root=root, modules=modules or {}))


def module(name, **contents):
    made = ModuleType(name)
    vars(made).update(contents)
    return {name: made}


@pytest.fixture
def root(tmp_path):
    """A file system with nothing in it that tells."""
    return tmp_path


def put(root, path, text=""):
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, set()),
        ({"DATABRICKS_RUNTIME_VERSION": "14.3"}, {"databricks"}),
        ({"DATABRICKS_RUNTIME_VERSION": "client.2.1"}, {"databricks", "databricks_serverless"}),
        (
            {"DATABRICKS_RUNTIME_VERSION": "15", "DATABRICKS_ENV_VERSION": "2"},
            {"databricks", "databricks_serverless"},
        ),
        ({"DATABRICKS_RUNTIME_VERSION": "14.3", "DB_IS_DRIVER": "TRUE"}, {"databricks", "spark_driver"}),
        ({"DATABRICKS_RUNTIME_VERSION": "14.3", "DB_IS_DRIVER": "FALSE"}, {"databricks", "spark_executor"}),
        ({"IS_IN_DB_MODEL_SERVING_ENV": "true"}, {"databricks", "databricks_model_serving"}),
        ({"MSNOTEBOOKUTILS_RUNTIME_TYPE": "jupyter"}, {"fabric", "fabric_python", "notebook"}),
        (
            {"MSNOTEBOOKUTILS_SPARK_TRIDENT_PBIHOST": "api.fabric.microsoft.com"},
            {"fabric", "fabric_python", "notebook"},
        ),
        ({"AZURE_SERVICE": "Microsoft.ProjectArcadia"}, {"synapse", "spark"}),
        ({"AZUREML_RUN_ID": "r"}, {"azureml"}),
        ({"AZUREML_FRAMEWORK": "f"}, {"azureml"}),
        ({"SAGEMAKER_APP_TYPE": "JupyterLab"}, {"sagemaker"}),
        ({"COLAB_RELEASE_TAG": "release"}, {"colab", "notebook"}),
        ({"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}, {"kaggle"}),
        ({"BINDER_LAUNCH_HOST": "https://x"}, {"binder"}),
        ({"VSCODE_PID": "1"}, {"vscode"}),
        ({"PYTHON_WORKER_FACTORY_SECRET": "x"}, {"spark", "spark_executor"}),
        ({"PYTHON_WORKER_FACTORY_PORT": "1"}, {"spark", "spark_executor"}),
        ({"SPARK_REUSE_WORKER": "1"}, {"spark", "spark_executor"}),
        ({"SPARK_ENV_LOADED": "1"}, {"spark"}),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, {"kubernetes", "container"}),
        ({"AWS_LAMBDA_FUNCTION_NAME": "f"}, {"lambda"}),
        ({"K_SERVICE": "s"}, {"cloud_run"}),
        ({"K_SERVICE": "s", "FUNCTION_TARGET": "t"}, {"cloud_run", "cloud_functions"}),
        ({"CLOUD_RUN_JOB": "j"}, {"cloud_run"}),
        ({"FUNCTIONS_WORKER_RUNTIME": "python"}, {"azure_functions"}),
        ({"AIRFLOW_CTX_DAG_ID": "d"}, {"airflow"}),
        ({"SLURM_JOB_ID": "1"}, {"slurm"}),
        ({"CI": "true"}, {"ci"}),
        ({"CI": "false"}, set()),
        ({"CI": ""}, set()),
        ({"GITHUB_ACTIONS": "true"}, {"ci", "github_actions"}),
        ({"GITLAB_CI": "true"}, {"ci", "gitlab_ci"}),
        ({"TF_BUILD": "True"}, {"ci", "azure_pipelines"}),
        ({"JENKINS_URL": "u"}, {"ci", "jenkins"}),
        ({"BUILDKITE": "true"}, {"ci", "buildkite"}),
        ({"CIRCLECI": "true"}, {"ci", "circleci"}),
        ({"TRAVIS": "true"}, {"ci", "travis"}),
        ({"TEAMCITY_VERSION": "1"}, {"ci", "teamcity"}),
        ({"BITBUCKET_BUILD_NUMBER": "1"}, {"ci", "bitbucket"}),
        ({"CODEBUILD_BUILD_ARN": "a"}, {"ci", "codebuild"}),
    ],
)
def test_by_variables(root, env, expected):
    """
    Each platform is told by the variables that it sets.
    """
    assert facts(env, root=root) == expected


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("databricks/DBR_VERSION", "14.3", {"databricks"}),
        ("home/trusted-service-user/.trident-context", "", {"fabric", "spark"}),
        (".dockerenv", "", {"container", "docker"}),
        ("run/.containerenv", "", {"container", "podman"}),
        ("proc/self/cgroup", "0::/kubepods/burstable/pod1", {"container"}),
        ("proc/self/cgroup", "0::/user.slice", set()),
    ],
)
def test_by_files(root, path, text, expected):
    """
    Platforms and containers are told by the files that they leave.
    """
    put(root, path, text)

    assert facts(root=root) == expected


def test_synapse_is_not_fabric(root):
    """
    Fabric runs on what Synapse runs on: its own file decides.
    """
    put(root, "home/trusted-service-user/.trident-context")

    assert facts({"AZURE_SERVICE": "Microsoft.ProjectArcadia"}, root=root) == {"fabric", "spark"}


NOTEBOOK = SimpleNamespace(kernel=object())
WORKER = SimpleNamespace(get=object)
NO_WORKER = SimpleNamespace(get=lambda: None)


def raising(*_):
    raise ValueError("no worker")


@pytest.mark.parametrize(
    ("modules", "expected"),
    [
        (module("IPython", get_ipython=lambda: NOTEBOOK), {"ipython", "jupyter", "notebook"}),
        (module("IPython", get_ipython=SimpleNamespace), {"ipython"}),
        (module("IPython", get_ipython=lambda: None), set()),
        (module("IPython"), set()),
        (module("pyspark.taskcontext", TaskContext=WORKER), {"spark", "spark_executor"}),
        (module("pyspark.taskcontext", TaskContext=NO_WORKER), set()),
        (
            module("pyspark.context", SparkContext=SimpleNamespace(_active_spark_context=object())),
            {"spark", "spark_driver"},
        ),
        (
            module("pyspark.core.context", SparkContext=SimpleNamespace(_active_spark_context=object())),
            {"spark", "spark_driver"},
        ),
        (module("pyspark.context", SparkContext=SimpleNamespace(_active_spark_context=None)), set()),
        (
            module("pyspark.context", SparkContext=SimpleNamespace(_active_spark_context=object()))
            | module("pyspark.taskcontext", TaskContext=WORKER),
            {"spark", "spark_executor"},
        ),
        (
            module("pyspark.sql.connect.session", SparkSession=SimpleNamespace(_default_session=object())),
            {"spark", "spark_connect"},
        ),
        (module("distributed.worker", get_worker=object), {"dask", "dask_worker"}),
        (module("distributed.worker", get_worker=raising), set()),
        (module("ray", is_initialized=lambda: True), {"ray"}),
        (module("ray", is_initialized=lambda: False), set()),
        (module("ray", is_initialized=raising), set()),
    ],
)
def test_by_modules(root, modules, expected):
    """
    Notebooks, Spark, Dask and Ray are told by what the program has imported itself; an executor is no driver.
    """
    assert facts(modules=modules, root=root) == expected


def test_platform(root):
    """
    In one word it is the platform, not what runs on it: Databricks' notebooks are notebooks too.
    """
    notebook = module("IPython", get_ipython=lambda: NOTEBOOK)

    assert detect_runtime({"DATABRICKS_RUNTIME_VERSION": "14"}, root=root, modules=notebook).platform == "databricks"
    assert detect_runtime({}, root=root, modules=notebook).platform == "jupyter"
    assert detect_runtime({}, root=root, modules={}).platform is None


def test_details(root):
    """
    Ids are told by their names: of a cluster, a function, a pipeline, a pod, a workspace.
    """
    put(root, "home/trusted-service-user/.trident-context", "trident.workspace.id = w\ntrident.lakehouse.id=l\nodd")
    put(root, "var/run/secrets/kubernetes.io/serviceaccount/namespace", "team")
    env = {
        "KUBERNETES_SERVICE_HOST": "h",
        "HOSTNAME": "pod-1",
        "AWS_LAMBDA_FUNCTION_NAME": "f",
        "GITHUB_RUN_ID": "7",
        "SLURM_JOB_ID": "8",
        "AWS_SECRET_ACCESS_KEY": "never",
    }

    assert dict(detect_runtime(env, root=root, modules={}).details) == {
        "k8s.namespace.name": "team",
        "k8s.pod.name": "pod-1",
        "faas.name": "f",
        "cicd.pipeline.run.id": "7",
        "slurm.job.id": "8",
        "fabric.workspace.id": "w",
        "fabric.lakehouse.id": "l",
    }


def test_nothing_is_imported():
    """
    To find out, no package is imported that was not there.
    """
    program = (
        "import branchline.metadata, sys; before = set(sys.modules); branchline.metadata.detect_runtime();"
        "print(sorted(set(sys.modules) - before))"
    )

    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "[]\n"


def test_it_is_a_set():
    """
    What is returned compares and combines as a set does.
    """
    found = detect_runtime({"CI": "true", "SLURM_JOB_ID": "1"}, modules={})

    assert {"ci", "slurm"} <= found
    assert "slurm" in found
    assert hash(found) == hash(frozenset(found))
