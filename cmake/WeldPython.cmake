# The Python interpreter: the first that imports numpy and pandas. One earlier on PATH that does not (pyenv's,
# conda's) is passed over; -DWELD_PYTHON=… names another one.
find_program(_path_python python3 NO_CACHE)
foreach(candidate IN ITEMS ${WELD_PYTHON} ${_path_python} /usr/bin/python3)
  execute_process(
    COMMAND ${candidate} -c "import sys, numpy, pandas; print(sys.executable, sys.version.split()[0], numpy.__version__, pandas.__version__, sep=';')"
    OUTPUT_VARIABLE _python OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE _status)
  if(_status EQUAL 0)
    list(GET _python 0 Python_EXECUTABLE)
    list(GET _python 1 _version)
    list(GET _python 2 _numpy)
    list(GET _python 3 _pandas)
    message(STATUS "Python: ${Python_EXECUTABLE} ${_version} with numpy ${_numpy} and pandas ${_pandas}")
    break()
  endif()
  message(STATUS "Python: ${candidate} imports no numpy and pandas, so it is not used")
endforeach()
if(NOT Python_EXECUTABLE)
  message(FATAL_ERROR "no Python imports numpy and pandas: install python3-numpy and python3-pandas, name one with"
                      " -DWELD_PYTHON=…, or build without the module (-DWELD_BUILD_PYTHON=OFF)")
endif()
find_package(Python 3.9 REQUIRED COMPONENTS Interpreter Development.Module)
find_package(pybind11 2.10 CONFIG REQUIRED)
