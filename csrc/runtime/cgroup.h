// The process's control groups: folders in which a limit may stand.
#pragma once

#include <string>
#include <vector>

namespace fastnn {

struct ControlGroup {
  std::string folder;
  bool v2;
};

// Of a controller ("cpu", "memory"), from the process's own group up to the root, in either version of cgroups. What
// holds is the tightest limit of them all.
std::vector<ControlGroup> control_groups(const std::string& controller);

}  // namespace fastnn
