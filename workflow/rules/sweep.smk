# A sweep: fit jobs, then a gather. The name of a config's folder is the cache key of its fit: what exists
# is valid, and a job fits what is missing of its batch. So Snakemake is told of the jobs that have to run, by
# the record each keeps of itself, and not of summaries, which it would delete before it tries a job again.
# Gathers and fits are forced (see profiles/README.md).


rule fit:
    output:
        layout.job_record_path("{run}", "{batch}"),
    log:
        layout.fit_log_path("{run}", "{batch}"),
    conda:
        "../envs/sbcflow.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=lambda wildcards, attempt: attempt
        * resources.memory_mb(SWEEPS[wildcards.run]),
        runtime=lambda wildcards, attempt: attempt
        * resources.minutes(SWEEPS[wildcards.run], n_configs(wildcards.batch)),
    params:
        kind=lambda wildcards: KINDS[wildcards.run],
    script:
        "../scripts/fit.py"


# A sweep to a precision goes in rounds; after each its fits are looked at, and the gather waits for the next
# look, or for none. What is asked for is there, if no fit is missing; so the record is only ever one of this run.
checkpoint look:
    input:
        jobs=unfinished_of_round,
    output:
        layout.look_path("{run}", "{look}"),
    log:
        layout.log_path("{run}", "look-{look}"),
    conda:
        "../envs/sbcflow.yaml"
    params:
        kind=lambda wildcards: KINDS[wildcards.run],
    script:
        "../scripts/look.py"


# Manifest, dvclive/ and metrics are not declared: Snakemake deletes what a job is to make, and the manifest
# holds the experiment_id that survives a resume.
rule gather:
    input:
        jobs=all_fits,
    output:
        layout.aggregate_path("{run}"),
    log:
        layout.log_path("{run}", "gather"),
    wildcard_constraints:
        run=either(PARAMS.train_sweep, PARAMS.exploratory_sweep),
    conda:
        "../envs/sbcflow.yaml"
    params:
        kind=lambda wildcards: KINDS[wildcards.run],
    script:
        "../scripts/gather.py"


# A test sweep's manifest links to the train sweep whose correction it is to prove.
use rule gather as gather_test with:
    input:
        jobs=all_fits,
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
