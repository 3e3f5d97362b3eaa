"""python setup.py build_ext --inplace"""

from Cython.Build import cythonize
from setuptools import Extension, setup

import fastnn

extension = Extension("logistic", ["logistic.pyx"], include_dirs=[fastnn.get_include()])
setup(name="logistic", ext_modules=cythonize([extension], language_level=3))
