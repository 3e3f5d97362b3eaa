// The control groups of the process: folders that may contain a limit.
#pragma once

#include <string>
#include <vector>

namespace fastnn {

struct ControlGroup {
  std::string folder;
  bool v2;
};

// Returns the groups of a controller ("cpu", "memory"), from the process's own group up to the root, in either version
// of cgroups. The tightest limit of all of them applies.
std::vector<ControlGroup> control_groups(const std::string& controller);

}  // namespace fastnn
