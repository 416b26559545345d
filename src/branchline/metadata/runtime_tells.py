"""What tells where a program runs: variables that each platform sets, and what they are facts of."""

from __future__ import annotations

from typing import Final


_TRUE: Final = frozenset({"1", "true", "yes"})

# A variable that is there, and not empty.
BY_VARIABLE: Final = (
    ("AZUREML_FRAMEWORK", "azureml"),
    ("AZUREML_RUN_ID", "azureml"),
    ("SAGEMAKER_APP_TYPE", "sagemaker"),
    ("COLAB_RELEASE_TAG", "colab"),
    ("COLAB_RELEASE_TAG", "notebook"),
    ("KAGGLE_KERNEL_RUN_TYPE", "kaggle"),
    ("BINDER_LAUNCH_HOST", "binder"),
    ("VSCODE_PID", "vscode"),
    ("PYTHON_WORKER_FACTORY_SECRET", "spark_executor"),
    ("PYTHON_WORKER_FACTORY_SECRET", "spark"),
    ("PYTHON_WORKER_FACTORY_PORT", "spark_executor"),
    ("PYTHON_WORKER_FACTORY_PORT", "spark"),
    ("SPARK_REUSE_WORKER", "spark_executor"),
    ("SPARK_REUSE_WORKER", "spark"),
    ("SPARK_ENV_LOADED", "spark"),
    ("KUBERNETES_SERVICE_HOST", "kubernetes"),
    ("AWS_LAMBDA_FUNCTION_NAME", "lambda"),
    ("K_SERVICE", "cloud_run"),
    ("CLOUD_RUN_JOB", "cloud_run"),
    ("FUNCTION_TARGET", "cloud_functions"),
    ("FUNCTIONS_WORKER_RUNTIME", "azure_functions"),
    ("AIRFLOW_CTX_DAG_ID", "airflow"),
    ("SLURM_JOB_ID", "slurm"),
    *(
        (variable, fact)
        for variable, name in (
            ("GITHUB_ACTIONS", "github_actions"),
            ("GITLAB_CI", "gitlab_ci"),
            ("TF_BUILD", "azure_pipelines"),
            ("JENKINS_URL", "jenkins"),
            ("BUILDKITE", "buildkite"),
            ("CIRCLECI", "circleci"),
            ("TRAVIS", "travis"),
            ("TEAMCITY_VERSION", "teamcity"),
            ("BITBUCKET_BUILD_NUMBER", "bitbucket"),
            ("CODEBUILD_BUILD_ARN", "codebuild"),
        )
        for fact in ("ci", name)
    ),
)

# A variable that has one of these values, in any case.
BY_VALUE: Final = (
    ("CI", _TRUE, "ci"),
    ("DB_IS_DRIVER", _TRUE, "spark_driver"),
    ("DB_IS_DRIVER", frozenset({"0", "false", "no"}), "spark_executor"),
    ("IS_IN_DB_MODEL_SERVING_ENV", _TRUE, "databricks"),
    ("IS_IN_DB_MODEL_SERVING_ENV", _TRUE, "databricks_model_serving"),
)

# Of several that are true, the first is what a person would say.
PLATFORMS: Final = (
    *("databricks", "fabric", "synapse", "azureml", "sagemaker", "colab", "kaggle", "binder"),
    *("lambda", "cloud_functions", "cloud_run", "azure_functions", "airflow", "slurm", "ray", "dask", "spark"),
    *("github_actions", "gitlab_ci", "azure_pipelines", "jenkins", "buildkite", "circleci", "travis", "teamcity"),
    *("bitbucket", "codebuild", "ci", "kubernetes", "jupyter"),
)

# Ids and names, and what they are called; none of these variables ever holds a secret.
DETAILS: Final = (
    ("DATABRICKS_RUNTIME_VERSION", "databricks.runtime.version"),
    ("DATABRICKS_ACCELERATOR", "databricks.accelerator"),
    ("DB_CLUSTER_ID", "databricks.cluster.id"),
    ("AZUREML_RUN_ID", "azureml.run.id"),
    ("AWS_LAMBDA_FUNCTION_NAME", "faas.name"),
    ("AWS_LAMBDA_FUNCTION_VERSION", "faas.version"),
    ("K_SERVICE", "faas.name"),
    ("K_REVISION", "faas.version"),
    ("CLOUD_RUN_JOB", "faas.name"),
    ("AIRFLOW_CTX_DAG_ID", "airflow.dag.id"),
    ("AIRFLOW_CTX_TASK_ID", "airflow.task.id"),
    ("AIRFLOW_CTX_DAG_RUN_ID", "airflow.run.id"),
    ("AIRFLOW_CTX_TRY_NUMBER", "airflow.try_number"),
    ("SLURM_JOB_ID", "slurm.job.id"),
    ("SLURM_JOB_NAME", "slurm.job.name"),
    ("SLURM_ARRAY_TASK_ID", "slurm.array_task.id"),
    ("SLURM_PROCID", "slurm.proc.id"),
    ("SLURM_JOB_PARTITION", "slurm.partition"),
    ("GITHUB_WORKFLOW", "cicd.pipeline.name"),
    ("GITHUB_RUN_ID", "cicd.pipeline.run.id"),
    ("GITHUB_JOB", "cicd.pipeline.task.name"),
    ("CI_PIPELINE_NAME", "cicd.pipeline.name"),
    ("CI_PIPELINE_ID", "cicd.pipeline.run.id"),
    ("CI_JOB_NAME", "cicd.pipeline.task.name"),
    ("BUILD_DEFINITIONNAME", "cicd.pipeline.name"),
    ("BUILD_BUILDID", "cicd.pipeline.run.id"),
    ("BUILDKITE_PIPELINE_SLUG", "cicd.pipeline.name"),
    ("BUILDKITE_BUILD_NUMBER", "cicd.pipeline.run.id"),
)
