"""pytyche 0.2.1's joint hurdle BCF with its defaults: pytyche_bcf.py TRIAL.npz DRAWS.npz"""

import sys
import time

import numpy as np
from pytyche.bcf.config import GPUBCFConfig
from pytyche.bcf.hurdle.model import _fit_joint_hurdle_bcf

trial = np.load(sys.argv[1])
half = np.full(len(trial["arm"]), 0.5)
started = time.perf_counter()
fit = _fit_joint_hurdle_bcf(trial["x"], trial["arm"], trial["revenue"], half, GPUBCFConfig(random_seed=1))
seconds = time.perf_counter() - started
np.savez(sys.argv[2], draws=np.asarray(fit.rpv_cate_samples)[: len(trial["truth"])], seconds=seconds)
