# A sweep: one fit a config, then a gather. The name of a config's folder is the cache key of its fit, so
# fits have no inputs, and one that exists is valid. Gathers are forced (see profiles/README.md).


rule fit:
    output:
        layout.summary_path("{run}", "{config}"),
    log:
        layout.fit_log_path("{run}", "{config}"),
    conda:
        "../envs/sbcflow.yaml"
    threads: 1
    params:
        kind=lambda wildcards: KINDS[wildcards.run],
    script:
        "../scripts/fit.py"


# Manifest, dvclive/ and metrics are not declared: Snakemake deletes what a job is to make, and the manifest
# holds the experiment_id that survives a resume.
rule gather:
    input:
        summaries=planned_summaries,
    output:
        layout.aggregate_path("{run}"),
    log:
        layout.log_path("{run}", "gather"),
    wildcard_constraints:
        run=either(PARAMS.train_sweep, PARAMS.exploratory_sweep),
    localrule: True
    conda:
        "../envs/sbcflow.yaml"
    params:
        kind=lambda wildcards: KINDS[wildcards.run],
    script:
        "../scripts/gather.py"


# A test sweep's manifest links to the train sweep whose correction it is to prove.
use rule gather as gather_test with:
    input:
        summaries=planned_summaries,
        link=layout.aggregate_path(PARAMS.test_sweep.trained_correction_from),
    wildcard_constraints:
        run=either(PARAMS.test_sweep),


rule train_sweep:
    input:
        layout.aggregate_path(PARAMS.train_sweep.id),


rule test_sweep:
    input:
        layout.aggregate_path(PARAMS.test_sweep.id),


rule exploratory_sweep:
    input:
        layout.aggregate_path(PARAMS.exploratory_sweep.id),
