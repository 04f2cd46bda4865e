//go:build ignore

// Says what Kubernetes itself makes of quantities and of Pods' requests: the cases
// beside this file, which tests/unit compares Governor's extraction with.
//
// In native/kubernetes, whose go.mod has the version:
//
//	go run ../../tests/golden/asks/generate.go ../../tests/golden/asks
package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	helpers "k8s.io/component-helpers/resource"
	pods "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/core"
	defaults "k8s.io/kubernetes/pkg/apis/core/v1"
)

type quantityCase struct {
	Text  string `json:"text"`
	Value string `json:"value,omitempty"` // absent: it is refused
}

type podCase struct {
	Pod      json.RawMessage `json:"pod"`
	MilliCPU int64           `json:"milliCPU"`
	Memory   int64           `json:"memory"`
}

func quantities() (cases []quantityCase) {
	numbers := []string{
		"", "0", "00", "1", "7", "10", "012", "999", "1000", "1024", "1.", ".5", "0.5", "1.5",
		"1.000", "0.001", "1.0001", "0.0000000001", "123456789.123456789", "1.1234567891",
		"999999999999999999", "9223372036854775807", "9223372036854775808",
		"99999999999999999999999999", "12345678901234567890.123", ".", "1.2.3", "1 ", "1_0", "٣",
	}
	suffixes := []string{
		"", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei",
		"e0", "e3", "E3", "e+3", "e-3", "E-3", "e-9", "e-10", "e-30", "e12", "e20", "e", "e+",
		"e4294967296", "e4294967299", "e9223372036854775808", "K", "g", "ki", "mi", "ni", "mm",
		"kk", "Mi3", "e3.5", "e3m", "i", "B", "GB", "-3", "3e", " ",
	}
	for _, sign := range []string{"", "+", "-", "--"} {
		for _, number := range numbers {
			for _, suffix := range suffixes {
				cases = append(cases, judged(sign+number+suffix))
			}
		}
	}
	return cases
}

func judged(text string) quantityCase {
	quantity := resource.Quantity{}
	raw, _ := json.Marshal(text)
	if err := quantity.UnmarshalJSON(raw); err != nil {
		return quantityCase{Text: text}
	}
	return quantityCase{Text: text, Value: quantity.AsDec().String()}
}

// Every other Pod is as people write it, the rest as stored, with what a kubelet reports.
func podCases(random *rand.Rand, count int) (cases []podCase) {
	for index := range count {
		pod := randomPod(random)
		if index%2 == 0 {
			pod.Status = v1.PodStatus{}
		} else {
			pod = defaulted(pod)
		}
		raw, err := json.Marshal(pod)
		must(err)
		read := &v1.Pod{}
		must(json.Unmarshal(raw, read))
		requests := helpers.PodRequests(defaulted(read), helpers.PodResourcesOptions{
			UseStatusResources: true, InPlacePodLevelResourcesVerticalScalingEnabled: true,
		})
		cases = append(cases, podCase{raw, requests.Cpu().MilliValue(), requests.Memory().Value()})
	}
	return cases
}

// As the API server stores it when it is created.
func defaulted(pod *v1.Pod) *v1.Pod {
	defaults.SetObjectDefaults_Pod(pod)
	internal, stored := &core.Pod{}, &v1.Pod{}
	must(defaults.Convert_v1_Pod_To_core_Pod(pod, internal, nil))
	pods.DefaultPodLevelResources(internal)
	must(defaults.Convert_core_Pod_To_v1_Pod(internal, stored, nil))
	return stored
}

func randomPod(random *rand.Rand) *v1.Pod {
	pod := &v1.Pod{}
	always := v1.ContainerRestartPolicyAlways
	for index := range 1 + random.Intn(3) {
		name := fmt.Sprintf("c%d", index)
		container := v1.Container{Name: name, Resources: randomRequirements(random)}
		pod.Spec.Containers = append(pod.Spec.Containers, container)
		pod.Status.ContainerStatuses = randomStatus(random, pod.Status.ContainerStatuses, name)
	}
	for index := range random.Intn(4) {
		name := fmt.Sprintf("i%d", index)
		container := v1.Container{Name: name, Resources: randomRequirements(random)}
		if random.Intn(2) == 0 {
			container.RestartPolicy = &always
		}
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, container)
		pod.Status.InitContainerStatuses = randomStatus(random, pod.Status.InitContainerStatuses, name)
	}
	if random.Intn(4) == 0 {
		pod.Spec.Overhead = randomList(random)
	}
	if random.Intn(3) == 0 {
		requirements := randomRequirements(random)
		pod.Spec.Resources = &requirements
	}
	if random.Intn(4) == 0 {
		pod.Status.Resources = &v1.ResourceRequirements{Requests: randomList(random)}
	}
	if random.Intn(4) == 0 {
		pod.Status.AllocatedResources = randomList(random)
	}
	return pod
}

func randomStatus(random *rand.Rand, all []v1.ContainerStatus, name string) []v1.ContainerStatus {
	if random.Intn(3) != 0 {
		return all
	}
	status := v1.ContainerStatus{Name: name}
	if random.Intn(2) == 0 {
		status.AllocatedResources = randomList(random)
	}
	if random.Intn(2) == 0 {
		status.Resources = &v1.ResourceRequirements{Requests: randomList(random)}
	}
	return append(all, status)
}

func randomRequirements(random *rand.Rand) (requirements v1.ResourceRequirements) {
	if random.Intn(4) != 0 {
		requirements.Requests = randomList(random)
	}
	if random.Intn(3) == 0 {
		requirements.Limits = randomList(random)
	}
	return requirements
}

func randomList(random *rand.Rand) v1.ResourceList {
	cpus := []string{"0", "1m", "250m", "1", "2.5", "0.0001", "3", "1500m", "10u"}
	memories := []string{"0", "1", "128Mi", "1.5Gi", "1G", "100m", "0.3", "1e9", "3Ki"}
	list := v1.ResourceList{}
	if random.Intn(3) != 0 {
		list[v1.ResourceCPU] = resource.MustParse(cpus[random.Intn(len(cpus))])
	}
	if random.Intn(3) != 0 {
		list[v1.ResourceMemory] = resource.MustParse(memories[random.Intn(len(memories))])
	}
	if random.Intn(5) == 0 {
		list[v1.ResourceEphemeralStorage] = resource.MustParse("1Gi")
	}
	return list
}

func write(folder, name string, cases any) {
	content, err := json.Marshal(cases)
	must(err)
	must(os.WriteFile(filepath.Join(folder, name), append(content, '\n'), 0o644))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	write(os.Args[1], "quantities.json", quantities())
	write(os.Args[1], "pods.json", podCases(rand.New(rand.NewSource(1)), 300))
}
