-- What Argo CD shows of an OutboundDelivery: from its conditions, as kstatus reads them.
local function progressing(message)
  return {status = "Progressing", message = message}
end

local status = obj.status or {}
if status.observedGeneration ~= obj.metadata.generation then
  return progressing("the operator has not seen this generation yet")
end
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local function is(kind)
  return conditions[kind] ~= nil and conditions[kind].status == "True"
end
local ready = conditions.Ready
if ready == nil then
  return progressing("the operator has not said anything yet")
end
local message = ready.reason .. ": " .. ready.message
if is("Reconciling") then
  if status.progress ~= nil then
    message = message .. " (" .. status.progress.percent .. "%)"
  end
  if status.lastError ~= nil then
    message = message .. "; last error: " .. status.lastError
  end
  return progressing(message)
end
-- Failed comes with Stalled. Stalled alone goes on once somebody acted.
if is("Stalled") then
  return {status = "Degraded", message = message}
end
if ready.status == "True" then
  return {status = "Healthy", message = message}
end
if ready.reason == "Suspended" then
  return {status = "Suspended", message = message}
end
return progressing(message)
