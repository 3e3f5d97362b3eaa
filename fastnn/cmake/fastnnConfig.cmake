# For find_package(fastnn CONFIG) with -Dfastnn_DIR=$(python -c "import fastnn; print(fastnn.get_cmake_dir())"). The target
# fastnn::fastnn adds the folder of fastnn.h to the include directories; Python's headers come from find_package(Python).
if(NOT TARGET fastnn::fastnn)
  add_library(fastnn::fastnn INTERFACE IMPORTED)
  get_filename_component(_fastnn_include "${CMAKE_CURRENT_LIST_DIR}/../include" ABSOLUTE)
  set_target_properties(fastnn::fastnn PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${_fastnn_include}")
  unset(_fastnn_include)
endif()
