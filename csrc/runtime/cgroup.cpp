#include "runtime/cgroup.h"

#include <algorithm>
#include <fstream>

namespace fastnn {

std::vector<ControlGroup> control_groups(const std::string& controller) {
  std::vector<ControlGroup> found;
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // id:controllers:/path
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::string controllers = line.substr(first, second - first + 1);
    std::replace(controllers.begin(), controllers.end(), ':', ',');
    const bool v2 = controllers == ",,";
    if (!v2 && controllers.find("," + controller + ",") == std::string::npos) continue;
    const std::string root = v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/" + controller;
    std::string path = line.substr(second + 1);
    if (path == "/") path.clear();
    while (true) {
      found.push_back({root + path, v2});
      if (path.empty()) break;
      path.erase(path.find_last_of('/'));
    }
  }
  return found;
}

}  // namespace fastnn
