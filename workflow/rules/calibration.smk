# The corrections, fitted on the train sweep, their scorecard on the test sweep, and its report. Forced, as gathers are.


rule correct:
    input:
        train=layout.aggregate_path(PARAMS.train_sweep.id),
    output:
        layout.coverage_correction_path("{run}"),
    log:
        layout.log_path("{run}", "correct"),
    conda:
        "../envs/sbcflow.yaml"
    script:
        "../scripts/fit_corrections.py"


rule evaluate:
    input:
        test=layout.aggregate_path(PARAMS.test_sweep.id),
        corrections=layout.coverage_correction_path(PARAMS.fit_corrections.id),
    output:
        layout.scorecard_json_path("{run}"),
    log:
        layout.log_path("{run}", "evaluate"),
    conda:
        "../envs/sbcflow.yaml"
    script:
        "../scripts/evaluate.py"


# The page on it. Drawn from run folders alone: a picture that fails costs no scorecard.
rule report:
    input:
        train=layout.aggregate_path(PARAMS.train_sweep.id),
        scorecard=layout.scorecard_json_path("{run}"),
    output:
        layout.report_path("{run}"),
    log:
        layout.log_path("{run}", "report"),
    conda:
        "../envs/sbcflow.yaml"
    script:
        "../scripts/report.py"


rule fit_corrections:
    input:
        layout.coverage_correction_path(PARAMS.fit_corrections.id),


rule evaluate_layered:
    input:
        layout.scorecard_json_path(PARAMS.evaluate_layered.id),
        layout.report_path(PARAMS.evaluate_layered.id),
