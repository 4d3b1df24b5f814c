# The corrections, fitted on the train sweep, and their scorecard on the test sweep. Forced, as gathers are.


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


rule fit_corrections:
    input:
        layout.coverage_correction_path(PARAMS.fit_corrections.id),


rule evaluate_layered:
    input:
        layout.scorecard_json_path(PARAMS.evaluate_layered.id),
