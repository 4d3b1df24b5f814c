# The audit of a sweep: some of its experiments fitted again by NUTS, in a run folder of its own, and the
# approximation's share of the miscalibration. No stage of DVC: how much is audited changes no result of one.


rule audit_fit:
    output:
        layout.job_record_path(layout.audit_id("{run}"), "{batch}"),
    log:
        layout.fit_log_path(layout.audit_id("{run}"), "{batch}"),
    wildcard_constraints:
        run=either(*PARAMS.sweeps().values()),
    conda:
        "../envs/sbcflow.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=lambda wildcards, attempt: attempt
        * resources.memory_mb(SWEEPS[wildcards.run]),
        runtime=lambda wildcards, attempt: attempt
        * resources.minutes(SWEEPS[wildcards.run], 1),
    params:
        kind=lambda wildcards: KINDS[wildcards.run],
        share=AUDITS.share,
    script:
        "../scripts/audit_fit.py"


rule audit_gather:
    input:
        jobs=unfinished_refits,
        sweep=layout.aggregate_path("{run}"),
    output:
        layout.audit_path("{run}"),
    log:
        layout.log_path(layout.audit_id("{run}"), "audit"),
    wildcard_constraints:
        run=either(*PARAMS.sweeps().values()),
    conda:
        "../envs/sbcflow.yaml"
    params:
        kind=lambda wildcards: KINDS[wildcards.run],
        share=AUDITS.share,
    script:
        "../scripts/audit_gather.py"


# Of the sweep whose miscalibration the scorecard tells; that of another: `snakemake runs/<id>-audit/audit.json`.
rule audit:
    input:
        layout.audit_path(PARAMS.test_sweep.id),
